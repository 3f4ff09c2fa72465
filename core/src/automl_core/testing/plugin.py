"""What every plugin must do, whatever it provides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest

from automl_core.discovery import NAME, incompatibility
from automl_core.errors import ComponentUnavailable, SettingsError
from automl_core.plugins import Plugins
from automl_core.providers import Context, Provider
from automl_core.testing.conformance import Conformance

__all__ = ["PluginConformance"]

# Importing an entry module must load none of these: `automl plugins NAME` answers at once, whatever is installed.
HEAVY = frozenset(
    [
        "catboost",
        "dask",
        "jax",
        "lightgbm",
        "mlflow",
        "numba",
        "numpy",
        "optuna",
        "pandas",
        "polars",
        "pyarrow",
        "pydantic",
        "ray",
        "redis",
        "scipy",
        "sklearn",
        "starlette",
        "tensorflow",
        "torch",
        "transformers",
        "uvicorn",
        "xgboost",
    ]
)
SECRET = re.compile(r"password|secret|token|credential|api_?key|access_?key")
PASSWORD = "hunter2-never-shown"


class PluginConformance(Conformance):
    """Set `plugin`; the distribution must be installed.

    Attributes:
        plugin: the name of its entry point.
        settings: the plugin's block of settings to build with.
        builds: components can be built here and now; False where that takes a service that tests have not.
        unreachable: a block of settings that names a service which does not answer; None where there is no service.
    """

    plugin: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    builds: ClassVar[bool] = True
    unreachable: ClassVar[Mapping[str, Any] | None] = None

    @pytest.fixture
    def host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
        from automl_core.settings import Settings

        monkeypatch.chdir(tmp_path)
        return Plugins(Settings(directory=str(tmp_path / "files"), plugins={self.plugin: dict(self.settings)}))

    @pytest.fixture
    def provided(self, host: Plugins) -> list[tuple[str, str, Provider[Any]]]:
        return host.describe(self.plugin)

    def test_entry_point_is_there_once(self, host: Plugins) -> None:
        assert NAME.fullmatch(self.plugin)
        assert [(info.name, info.status) for info in host.infos() if info.name == self.plugin] == [
            (self.plugin, "available")
        ]

    def test_entry_module_loads_with_known_hooks(self, host: Plugins) -> None:
        host.activate(self.plugin)
        assert next(info for info in host.infos() if info.name == self.plugin).status == "active"

    def test_entry_module_loads_no_library(self, host: Plugins) -> None:
        module = host.found[self.plugin][0].entry.module
        code = f"import json, sys, {module}; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
        path = json.dumps([entry for entry in sys.path if entry])
        run = f"import sys; sys.path[:] = {path}\n{code}"
        done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
        assert set(json.loads(done.stdout)) & HEAVY == set()

    def test_requirement_of_the_core_is_a_range(self, host: Plugins) -> None:
        requirements = host.found[self.plugin][0].requires
        ours = [item for item in requirements if re.match(r"automl[-_.]core(?![\w.-]*[a-z])", item) and ";" not in item]
        assert len(ours) == 1, "the distribution must require automl-core"
        assert ">=" in ours[0]
        assert "<" in ours[0].replace("<=", "")
        assert incompatibility(ours) == ""

    def test_package_ships_its_types(self, host: Plugins) -> None:
        spec = find_spec(host.found[self.plugin][0].entry.module.partition(".")[0])
        assert spec is not None
        assert spec.submodule_search_locations, "the entry module must stand in a package"
        assert any((Path(folder) / "py.typed").is_file() for folder in spec.submodule_search_locations)

    def test_names_and_summaries_can_be_shown(self, provided: list[tuple[str, str, Provider[Any]]]) -> None:
        for _, full, provider in provided:
            assert all(NAME.fullmatch(part) for part in full.split("."))
            assert re.fullmatch(r"[^\n]{1,100}\.", provider.summary), f"{full}: a summary is one sentence on one line"

    def test_settings_are_closed_and_described(self, provided: list[tuple[str, str, Provider[Any]]]) -> None:
        for model in _models(provided):
            assert model.model_config.get("extra") == "forbid"
            assert model.model_config.get("frozen") is True
            assert model.model_config.get("hide_input_in_errors") is True
            for name, field in model.model_fields.items():
                assert field.description, f"the setting {name!r} has no description"
                assert name == name.lower(), f"the environment cannot name the setting {name!r}"

    def test_secrets_are_declared_secret(self, provided: list[tuple[str, str, Provider[Any]]]) -> None:
        for model in _models(provided):
            for name, field in model.model_fields.items():
                if SECRET.search(name) and not name.endswith(("_file", "_path")):
                    assert "Secret" in str(field.annotation), f"{name!r} must be a SecretStr"

    def test_unknown_setting_is_refused(self, provided: list[tuple[str, str, Provider[Any]]]) -> None:
        context = Context(self.plugin, {**self.settings, "no_such_setting": PASSWORD})
        for model in _models(provided):
            with pytest.raises(SettingsError, match="no_such_setting") as caught:
                context.settings(model)
            assert PASSWORD not in str(caught.value)

    def test_components_are_built_and_closed_twice(self, host: Plugins) -> None:
        if not self.builds:
            pytest.skip("building takes a service")
        for kind, full, _ in host.describe(self.plugin):
            with host.build(kind, full) as component:
                component.close()

    def test_dead_service_is_named_without_the_password(self, host: Plugins) -> None:
        if self.unreachable is None:
            pytest.skip("there is no service")
        for _, _, provider in host.describe(self.plugin):
            with pytest.raises(ComponentUnavailable) as caught:
                provider.build(Context(self.plugin, self.unreachable))
            assert str(caught.value)
            assert PASSWORD not in str(caught.value)


def _models(provided: list[tuple[str, str, Provider[Any]]]) -> Iterator[Any]:
    for _, _, provider in provided:
        if provider.settings is not None:
            yield provider.settings()
