from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from automl_core import Plugins, Settings
from automl_core.testing.fakes import installed

PREAMBLE = "from automl_core import Context, Provider, hookimpl\nfrom automl_core.testing.fakes import *\n"


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test: empty folder, no AUTOML_ variable, no secrets."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith(("AUTOML_", "REDIS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("automl_core.sources.DEFAULT_SECRETS", str(tmp_path / "no-secrets"))


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Return a function that installs a fake plugin: its entry module is `<name>_module` unless told otherwise."""
    with ExitStack() as stack:

        def add(name: str, source: str | None = "", *, module: str = "", folder: str = "site", **options: Any) -> None:
            text = None if source is None else PREAMBLE + source
            stack.enter_context(installed(tmp_path / folder, name, module or f"{name}_module", source=text, **options))

        yield add


@pytest.fixture
def host() -> Callable[..., Plugins]:
    """Return a function that makes a plugin host for settings."""
    return lambda **values: Plugins(Settings(**values))
