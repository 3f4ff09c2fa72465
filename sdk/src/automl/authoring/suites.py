"""The conformance suites of an installed plugin, with no test module of its own: for each component that it provides."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from automl_core import testing
from automl_core.kinds import KINDS
from automl_core.plugins import Plugins
from automl_core.settings import Settings, load_settings

if TYPE_CHECKING:
    from automl.model import Model

__all__ = ["suite_of", "suites"]


def suite_of(kind: str) -> type[testing.Conformance]:
    """Return the suite of a kind, or of "plugin"."""
    name = f"{KINDS[kind].__name__ if kind in KINDS else 'Plugin'}Conformance"
    suite: type[testing.Conformance] = getattr(testing, name)
    return suite


def suites(plugin: str) -> dict[str, type[testing.Conformance]]:
    """Return test classes by name: `Test_plugin`, and `Test_KIND_NAME` for what it provides. Settings are the user's."""
    loaded = load_settings()
    block = dict(loaded.plugins.get(plugin, {}))
    made = {"Test_plugin": type("Test_plugin", (suite_of("plugin"),), {"plugin": plugin, "settings": block})}
    for kind, full, provider in Plugins(loaded).describe(plugin):
        name = f"Test_{kind}_{full.replace('.', '_of_')}"
        places = provider.settings is not None and "port" in provider.settings().model_fields
        fixtures = _serving(full, block, places) if kind == "server" else {kind: _component(kind, full, block)}
        made[name] = type(name, (suite_of(kind),), fixtures)
    return made


def _build(kind: str, full: str, block: Mapping[str, Any], folder: Path) -> Any:
    plugin = full.partition(".")[0]
    return Plugins(Settings(directory=str(folder), plugins={plugin: dict(block)}), threads=2).build(kind, full)


def _component(kind: str, full: str, block: Mapping[str, Any]) -> Any:
    def component(self: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        monkeypatch.chdir(tmp_path)
        with _build(kind, full, block, tmp_path) as built:
            yield built

    return pytest.fixture(component)


def _serving(full: str, block: Mapping[str, Any], places: bool) -> dict[str, Any]:
    """Return the fixtures of a server that takes its port from a setting; without one no check can find it."""

    def address(self: object) -> tuple[str, int]:
        if not places:
            pytest.skip("where it listens is unknown: it has no setting `port`")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return "127.0.0.1", probe.getsockname()[1]

    def server(self: object, address: tuple[str, int], tmp_path: Path) -> Iterator[Any]:
        host, port = address
        with _build("server", full, {**block, "host": host, "port": port}, tmp_path) as built:
            yield built

    def service(self: object) -> Iterator[Any]:
        pytest.importorskip("pyarrow", reason="a model to serve needs pyarrow")
        from automl.service import PredictionService

        made = PredictionService()
        made.add(_constant())
        yield made
        made.close()

    return {fixture.__name__: pytest.fixture(fixture) for fixture in (address, server, service)}


def _constant() -> Model:
    """Return a model that predicts one whatever its one column says."""
    import numpy as np
    import pyarrow as pa

    from automl.encoder import Encoder
    from automl.model import Model
    from automl.predictor import Part, Predictor
    from automl.schema import describe
    from automl_core import REGRESSION, Additive

    table = pa.table({"x": [0.0, 0.5, 1.0]})
    schema = describe(table)
    none, unbound = np.zeros((1, 1)), np.full(1, np.inf)
    flat = Additive(
        1, none, none, -unbound, unbound, np.zeros((0, 1)), np.full(1, -1, np.int32), np.ones(1), "identity"
    )
    predictor = Predictor([Part(flat, 1.0)], classes=0, columns=1)
    return Model(Encoder.fit(table, schema), predictor, task=REGRESSION, schema=schema)
