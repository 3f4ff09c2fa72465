"""Importing costs nothing: a fresh interpreter tells."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from packages import read_packages

HEAVY = (
    "catboost", "lightgbm", "numba", "numpy", "optuna", "pandas", "polars", "pyarrow", "pydantic", "pydantic_settings",
    "rich", "scipy", "sklearn", "torch", "xgboost",
)  # fmt: skip
ENTRY_MODULES = [m for p in read_packages("plugins/automl-*", "contrib/*") for m in p.modules]


def loaded_by(code: str) -> set[str]:
    """Return the top-level names in `sys.modules` after the code ran in a fresh interpreter."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["automl_core", "automl", *ENTRY_MODULES])
def test_import_loads_no_heavy_library(module: str) -> None:
    pytest.importorskip(module.partition(".")[0], reason=f"{module} is not installed here")
    assert loaded_by(f"import {module}") & set(HEAVY) == set()


def test_check_would_see_a_heavy_library() -> None:
    assert "numpy" in loaded_by("import automl.metrics")


@pytest.mark.parametrize("argument", ["--help", "version", "fit --help", "predict --help"])
def test_help_and_version_load_no_heavy_library(argument: str) -> None:
    code = f"import sys; sys.argv = ['automl', *{argument.split()!r}]\nfrom automl.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit as exit:\n    assert exit.code == 0, exit.code"
    assert loaded_by(code) & set(HEAVY) == set()


def test_discovery_imports_no_plugin() -> None:
    code = "from automl_core import Plugins\nfrom automl_core.settings import load_settings\n"
    code += "assert Plugins(load_settings()).infos()"
    assert not {name for name in loaded_by(code) if name.startswith("automl_")} - {"automl_core"}


def test_loading_a_model_needs_no_training_library() -> None:
    code = "import automl; automl.load_model; automl.Model"
    assert loaded_by(code) & {"catboost", "lightgbm", "optuna", "pandas", "sklearn", "xgboost"} == set()
