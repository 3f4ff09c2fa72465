from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import automl_core
from automl_core import Settings, hookspecs, kinds, testing
from automl_core.testing.fakes import install

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
HOOKS = [name for name in dir(hookspecs) if name.startswith("automl_")]
FILES = dict(re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", README, re.DOTALL))


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"| `{hook}({arguments})` |" in README


def test_no_hook_is_documented_that_is_not_there() -> None:
    assert set(re.findall(r"\| `(automl_\w+)\(", README)) == set(HOOKS)


@pytest.mark.parametrize("name", kinds.__all__)
def test_kind_and_power_is_documented(name: str) -> None:
    assert name == "KINDS" or f"`{name}`" in README


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_abstract_methods_are_documented(kind: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{kinds.KINDS[kind].__name__}` |"))
    assert all(f"`{method}`" in row for method in kinds.KINDS[kind].__abstractmethods__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", testing.__all__)
def test_suite_is_documented(name: str) -> None:
    assert name == "Conformance" or f"`{name}`" in README


def test_settings_are_documented_with_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", README, re.MULTILINE))
    defaults = {name: ",".join(value) if isinstance(value, tuple | dict) else str(value) for name, value in Settings()}
    assert {name: text.strip(" `") for name, text in rows.items() if name in defaults} == defaults


def test_errors_are_documented() -> None:
    errors = [name for name in automl_core.errors.__all__ if name.endswith(("Error", "Unavailable"))]
    assert all(f"`{name}`" in README for name in errors)


@pytest.fixture
def learner(tmp_path: Path) -> Path:
    """Write the learner of the guide, installed as pip would have it."""
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    package = tmp_path / "src" / "automl_descent"
    (package / "__init__.py").touch()
    (package / "py.typed").touch()
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    for name, module in project["entry-points"]["automl"].items():
        install(
            tmp_path / "src",
            name,
            module,
            distribution=project["name"],
            version=project["version"],
            requires=project["dependencies"],
        )
    return tmp_path


def test_learner_of_the_guide_conforms(learner: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", ".", "tests"]
    environment = {**os.environ, "PYTHONPATH": str(learner / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=learner, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 100
