"""Networks in an ensemble: evaluated as the core describes them, and stored without any library."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from automl.predictor import kernel
from automl.predictor import network as network_module
from automl.predictor.kernel import load_network
from automl.predictor.network import NetworkModel, network_from_arrays, network_to_arrays
from automl_core import DataError, Network
from automl_core.testing.flat import evaluate

COMPILED = pytest.mark.skipif(not kernel.COMPILED, reason="the kernel is not compiled")


def make(rng: np.random.Generator, *, link: str = "softmax", activation: str = "mish", outputs: int = 3) -> Network:
    """Three numbers, one flag, two cosines each, a category of five codes in two numbers each; a hidden layer of seven."""
    units = 3 + 1 + 6 + 2
    return Network(
        columns=4, source=np.array([0, 2, 3], np.int32), center=rng.normal(size=3), factor=rng.uniform(0.5, 2, 3),
        flags=np.array([2], np.int32), frequency=rng.normal(size=(3, 2)).astype(np.float32),
        phase=rng.normal(size=(3, 2)).astype(np.float32), categories=np.array([1], np.int32),
        start=np.array([1], np.int32), width=np.array([2], np.int32), levels=np.array([5], np.int32),
        table=rng.normal(size=13).astype(np.float32),
        weights=(rng.normal(size=(units, 7)).astype(np.float32), rng.normal(size=(7, outputs)).astype(np.float32)),
        biases=(rng.normal(size=7).astype(np.float32), rng.normal(size=outputs).astype(np.float32)),
        activation=activation, base=rng.normal(size=outputs), link=link, low=-2.0, scale=1.5,
    )  # fmt: skip


def rows(rng: np.random.Generator, count: int = 200) -> Any:
    values = rng.normal(size=(count, 4)) * 3
    values[:, 1] = rng.integers(0, 5, count)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values.astype(np.float32)


@pytest.mark.parametrize("compiled", [pytest.param(True, marks=COMPILED), False])
@pytest.mark.parametrize("activation", ["mish", "selu", "relu"])
@pytest.mark.parametrize(("link", "outputs"), [("identity", 1), ("sigmoid", 1), ("softmax", 3)])
def test_network_says_what_the_core_describes(
    link: str, outputs: int, activation: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "load_network", partial(load_network, compiled=compiled))
    rng = np.random.default_rng(0)
    network, values = make(rng, link=link, outputs=outputs, activation=activation), rows(rng)
    values[0, [0, 2]] = 3e38, -3e38
    want = evaluate(network, values)
    model = NetworkModel(network)
    np.testing.assert_allclose(model.predict(values), want, atol=1e-9)
    np.testing.assert_allclose(model.predict(values[:1]), want[:1], atol=1e-9)
    np.testing.assert_allclose(model.predict(np.asfortranarray(values)), want, atol=1e-9)
    assert model.predict(values[:0]).shape == want[:0].shape


def test_code_that_training_lacked_counts_as_missing() -> None:
    rng = np.random.default_rng(0)
    model, values = NetworkModel(make(rng)), rows(rng, 1)
    values[0, 1] = np.nan
    missing = model.predict(values)
    for code in (5, 1e9, -1):
        values[0, 1] = code
        np.testing.assert_array_equal(model.predict(values), missing)


def test_network_survives_its_arrays() -> None:
    rng = np.random.default_rng(0)
    network, values = make(rng), rows(rng)
    again = network_from_arrays(*network_to_arrays(network), columns=4)
    np.testing.assert_array_equal(NetworkModel(again).predict(values), NetworkModel(network).predict(values))


@pytest.mark.parametrize(
    "changes",
    [
        {"source": np.array([0, 2, 4], np.int32)}, {"levels": np.array([6], np.int32)}, {"width": np.array([-1], np.int32)},
        {"center": np.array([0.0, np.inf, 0.0])}, {"activation": "tanh"}, {"link": "exp"}, {"scale": np.nan},
        {"frequency": np.zeros((3, 1), np.float32)}, {"base": np.zeros(2)}, {"weights": ()}, {"low": np.inf},
        {"flags": np.array([0, 1], np.int32)}, {"columns": 5},
    ],
)  # fmt: skip
def test_damaged_network_is_refused(changes: Any) -> None:
    network = replace(make(np.random.default_rng(0)), **changes)
    if "weights" in changes:
        network = replace(network, biases=())
    with pytest.raises(DataError, match="damaged"):
        NetworkModel(network_from_arrays(*network_to_arrays(network), columns=4))


@pytest.mark.slow
def test_neural_member_is_loaded_without_its_learner(tmp_path, monkeypatch) -> None:
    pytest.importorskip("automl_torch", reason="contrib/automl-torch is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    from automl import AutoML, load_model
    from automl.artifact import assemble
    from automl_core.settings import load_settings

    rng = np.random.default_rng(0)
    data = {"a": rng.normal(size=300), "b": rng.choice(["x", "y", "z"], 300)}
    y = data["a"] + (data["b"] == "x") + 0.1 * rng.normal(size=300)
    settings = load_settings(learners=("torch",), directory=str(tmp_path))
    automl = AutoML(time_limit=None, max_trials=1, folds=2, n_jobs=1, settings=settings).fit(data, y)
    automl.save(tmp_path / "model.automl")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "model.automl").read_bytes())) as archive:
        assert sorted(archive.namelist()) == ["arrays.bin", "manifest.json"]
    monkeypatch.setattr(assemble, "_learner", lambda name: pytest.fail(f"asked for {name}"))
    model = load_model(tmp_path / "model.automl")
    new = {"a": [0.3, None], "b": ["y", "unseen"]}
    np.testing.assert_array_equal(model.predict(new), automl.predict(new))
    assert automl.score(data, y) > -1.0
