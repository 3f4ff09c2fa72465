from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "numpy",
    "pandas",
    "pydantic",
    "pydantic_core",
    "dotenv",
    "pytest",
    "sklearn",
    "pyarrow",
    "asyncio",
    "importlib.metadata",
}


def loaded_by(code: str) -> set[str]:
    """Return `sys.modules` of a fresh interpreter after the code ran."""
    run = f"{code}\nimport json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["automl_core", "automl_core.plugins", "automl_core.kinds", "automl_core.flat"])
def test_import_loads_nothing_heavy(module: str) -> None:
    before = loaded_by("")
    assert (loaded_by(f"import {module}") - before) & HEAVY == set()


def test_import_loads_nothing_but_pluggy_and_the_standard_library() -> None:
    new = {name.partition(".")[0] for name in loaded_by("import automl_core") - loaded_by("")}
    assert new - set(sys.stdlib_module_names) == {"automl_core", "pluggy"}


def test_settings_bring_pydantic_when_touched() -> None:
    assert "pydantic" in loaded_by("import automl_core; automl_core.Settings")


def test_unknown_name_is_an_attribute_error() -> None:
    import automl_core

    with pytest.raises(AttributeError, match="no attribute 'Setings'"):
        automl_core.Setings  # noqa: B018


def test_every_public_name_is_there() -> None:
    import automl_core

    assert all(getattr(automl_core, name) is not None for name in automl_core.__all__)
