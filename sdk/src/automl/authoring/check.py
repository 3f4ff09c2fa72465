"""Whether an installed plugin conforms, and what to do where it does not."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from automl_core import kinds
from automl_core.errors import PluginError
from automl_core.kinds import KINDS

__all__ = ["REMEDIES", "Check", "check_plugin"]

REMEDIES = {
    "test_components_are_built_and_closed_twice": "`build` must work with default settings, and `close` a second time.",
    "test_dead_service_is_named_without_the_password": "Raise ComponentUnavailable with the address, and no password.",
    "test_entry_module_loads_no_library": "Import libraries inside of functions; leave `__init__.py` empty.",
    "test_entry_module_loads_with_known_hooks": "Let the entry module import, and name its hooks as automl_core does.",
    "test_entry_point_is_there_once": "Install it once, with one entry point of this name in the group `automl`.",
    "test_names_and_summaries_can_be_shown": "Names match [a-z][a-z0-9_]*; a summary is a sentence of one line.",
    "test_package_ships_its_types": "Put an empty `py.typed` into the package, and into package-data.",
    "test_requirement_of_the_core_is_a_range": 'Write "automl-core>=0.1,<1" into dependencies.',
    "test_secrets_are_declared_secret": "Declare the setting a `SecretStr`.",
    "test_settings_are_closed_and_described": "Inherit PluginSettings; give each field a small name and a description.",
    "test_unknown_setting_is_refused": "Inherit PluginSettings, and leave its `model_config` as it is.",
}
MODULE = "from automl.authoring.suites import suites\n\nglobals().update(suites({name!r}))\n"


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one part of a plugin, over all its parameters.

    Attributes:
        part: "plugin", or a kind and a name, such as "cache redis". check: what must hold, in words.
        outcome: "passed", "failed" or "skipped". reason: what went wrong, or why it was skipped. remedy: where it failed.
    """

    part: str
    check: str
    outcome: str
    reason: str = ""
    remedy: str = ""


def check_plugin(name: str) -> list[Check]:
    """Run the conformance suites of an installed plugin in a process of its own, with the settings of this folder.

    Raises:
        PluginError: the kit is not installed, or the suites do not start.
    """
    if find_spec("pytest") is None:
        raise PluginError("checking a plugin takes the conformance kit: pip install 'automl-core[testing]'")
    with tempfile.TemporaryDirectory() as folder:
        module, report = Path(folder, "test_conformance.py"), Path(folder, "report.xml")
        module.write_text(MODULE.format(name=name), encoding="utf-8")
        Path(folder, "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        words = ["-q", "-c", f"{folder}/pytest.ini", "-p", "no:cacheprovider", f"--basetemp={folder}/files"]
        command = [sys.executable, "-m", "pytest", *words, f"--junitxml={report}", str(module)]
        path = os.pathsep.join(entry for entry in sys.path if entry)  # what is a plugin here is one there
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""}, capture_output=True, text=True
        )
        if done.returncode not in (0, 1):
            raise PluginError(f"the checks of {name!r} did not run:\n{(done.stdout + done.stderr)[-3000:]}")
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it a moment ago
    return _merge(map(_read, cases))


def _read(case: ElementTree.Element) -> Check:
    part = case.get("classname", "").rpartition(".")[2].removeprefix("Test_").replace("_of_", ".").replace("_", " ", 1)
    test, _, parameter = case.get("name", "").partition("[")
    for outcome in ("failure", "error", "skipped"):
        told = case.find(outcome)
        if told is not None:
            reason = told.get("message", "").strip()
            if outcome == "skipped":
                return Check(part, test, "skipped", reason)
            where = f"[{parameter} " if parameter else ""
            return Check(part, test, "failed", where + reason, _remedy(part.partition(" ")[0], test))
    return Check(part, test, "passed")


def _merge(checks: Iterable[Check]) -> list[Check]:
    """Return one check for all parameters of a test: failed where one failed, skipped where none ran."""
    order = ("skipped", "passed", "failed")
    worst: dict[tuple[str, str], Check] = {}
    for one in checks:
        key = (one.part, one.check)
        if key not in worst or order.index(one.outcome) > order.index(worst[key].outcome):
            worst[key] = one
    return [replace(one, check=one.check.removeprefix("test_").replace("_", " ")) for one in worst.values()]


def _remedy(kind: str, test: str) -> str:
    """Return what to do: for a component, the contract of the first method that the check calls."""
    if kind not in KINDS:
        return REMEDIES.get(test, "")
    from automl.authoring.suites import suite_of

    powers = [getattr(kinds, name) for name in kinds.__all__ if isinstance(getattr(kinds, name), type)]
    for word in re.findall(r"\.(\w+)\(", inspect.getsource(getattr(suite_of(kind), test))):
        for owner in (KINDS[kind], *powers):
            method = vars(owner).get(word)
            if method is not None and (doc := inspect.getdoc(method)):
                return f"{owner.__name__}.{word}: {' '.join(doc.split())}"
    return f"{KINDS[kind].__name__}: {' '.join((inspect.getdoc(KINDS[kind]) or '').split())}"
