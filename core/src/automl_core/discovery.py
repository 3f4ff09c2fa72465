"""Which plugins are installed, and whether each may be used: from metadata only, importing nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_core.errors import did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["FIRST_PARTY", "GROUP", "Found", "Installed", "discover", "incompatibility"]

GROUP = "automl"
NAME = re.compile(r"[a-z][a-z0-9_]*")
log = logging.getLogger("automl.plugins")

Installed = dict[str, list["Found"]]

# Advice to install is given for these names only: anyone could have registered another one.
FIRST_PARTY = {
    **dict.fromkeys(("file", "memory", "serial", "threads", "processes", "random", "journal", "log"), "automl-local"),
    **{
        name: f"automl-{name}"
        for name in (
            "azure", "catboost", "dask", "drift", "gcs", "lightgbm", "mlflow", "optuna",
            "prometheus", "ray", "redis", "s3", "sklearn", "starlette", "xgboost",
        )
    },
    "raytune": "automl-ray",
    "retrain": "automl-sdk",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point of the group, and what its distribution says of itself."""

    entry: EntryPoint
    name: str
    version: str
    requires: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"plugin {self.entry.name!r} ({self.name} {self.version})"


def discover() -> Installed:
    """Return the entry points of the group by name; several under one name where distributions compete for it."""
    from importlib.metadata import distributions

    found: Installed = {}
    seen: set[tuple[str, str]] = set()
    for distribution in distributions():
        for item in _read(distribution):
            # The same distribution can stand on sys.path twice; the first one is the one imported.
            key = (re.sub(r"[-_.]+", "-", item.name).lower(), item.entry.name)
            if key not in seen:
                seen.add(key)
                found.setdefault(item.entry.name, []).append(item)
    return found


def problem(name: str, installed: Installed, disabled: tuple[str, ...]) -> tuple[str, str]:
    """Return (status, reason) for a name that may not be activated, or two empty strings."""
    candidates = installed[name]
    if not NAME.fullmatch(name):
        return "broken", "the name must match [a-z][a-z0-9_]*"
    if len(candidates) > 1:
        return "conflict", f"name claimed by {' and '.join(sorted(item.name for item in candidates))}; uninstall one"
    if name in disabled:
        return "disabled", "remove it from plugins_disabled to use it"
    if reason := incompatibility(candidates[0].requires):
        return "incompatible", reason
    return "", ""


def not_installed(name: str, installed: Installed) -> str:
    """Say that a plugin is missing, and what to do about it."""
    if name in FIRST_PARTY:
        return f"plugin {name!r} is not installed. Install it with: pip install {FIRST_PARTY[name]}"
    listed = ", ".join(sorted(installed)) or "none"
    meant = did_you_mean(name, [*installed, *FIRST_PARTY])
    return f"plugin {name!r} is not installed.{meant} Installed plugins: {listed}."


def incompatibility(requirements: Iterable[str]) -> str:
    """Say which requirement of automl-core the installed core does not meet, or return an empty string.

    Requirements with an environment marker are left aside: they belong to extras.
    """
    from automl_core import __version__

    for requirement in requirements:
        name, clauses = _split(requirement)
        if name == "automl-core" and ";" not in requirement and not all(_meets(__version__, *c) for c in clauses):
            return f"it needs {requirement}, and automl-core is {__version__}"
    return ""


def _read(distribution: Distribution) -> list[Found]:
    try:
        entries = [entry for entry in distribution.entry_points if entry.group == GROUP]
        if not entries:
            return []
        name, version, requires = _describe(distribution)
    except Exception as error:  # noqa: BLE001 - damaged metadata of any distribution must not hide all plugins
        log.warning("the metadata of an installed distribution cannot be read: %s (%s)", error, distribution)
        return []
    return [Found(entry, name, version, requires) for entry in entries]


def _describe(distribution: Distribution) -> tuple[str, str, tuple[str, ...]]:
    """Return name, version and requirements; an interrupted installation leaves a folder that tells none of them."""
    try:
        metadata = distribution.metadata  # parsed at every access: 200 plugins took half a second
    except FileNotFoundError:  # the backport `importlib_metadata`, which answers for all once it is imported
        return "unknown", "unknown", ()
    name, version = (metadata[key] or "unknown" for key in ("Name", "Version"))
    return name, version, tuple(metadata.get_all("Requires-Dist") or distribution.requires or ())


def _split(requirement: str) -> tuple[str, list[tuple[str, str]]]:
    name = re.match(r"[A-Za-z0-9._-]*", requirement)
    clauses = re.findall(r"(>=|<=|==|!=|~=|>|<)\s*([0-9][0-9.]*\*?)", requirement.partition("@")[0])
    return re.sub(r"[-_.]+", "-", name.group() if name else "").lower(), clauses


def _meets(version: str, operator: str, wanted: str) -> bool:
    """Compare release numbers, as in PEP 440 without pre-releases; `packaging` is no dependency of the core."""
    size = max(version.count("."), wanted.count(".")) + 1
    have, want = _numbers(version, size), _numbers(wanted, size)
    prefix = len(re.findall(r"\d+", wanted))
    if operator == "~=":
        return have >= want and have[: prefix - 1] == want[: prefix - 1]
    if operator in ("==", "!="):
        end = prefix if wanted.endswith("*") else size
        return (have[:end] == want[:end]) == (operator == "==")
    compare = {">=": have >= want, "<=": have <= want, ">": have > want, "<": have < want}
    return compare[operator]


def _numbers(version: str, size: int) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version)[:size]]
    return tuple(numbers + [0] * (size - len(numbers)))
