"""ONNX Runtime predicts what the model predicts."""

from __future__ import annotations

import json
import sys
from itertools import pairwise

import numpy as np
import pytest

from automl.predictor import Opaque, Part, Predictor
from automl.predictor.network import NetworkModel
from automl_core import Column, DataError, Network

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

COLUMNS = tuple(Column(f"x{i}", categories=70 if i % 3 == 1 else 0) for i in range(6))


class Encoded:
    """Stands for an encoder: rows are encoded already."""

    columns = COLUMNS
    names = tuple(column.name for column in COLUMNS)
    source = np.arange(6)

    def encode(self, data):
        return data


def make(parts, opaque=(), *, classes=(), temperature=1.0, **arguments):
    from automl.model import Model

    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return Model(
        Encoded(),
        Predictor(parts, opaque, classes=len(classes), temperature=temperature, columns=6),
        task=task,
        classes=classes,
        **arguments,
    )


def run(model, values, tmp_path):
    model.export_onnx(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    return dict(
        zip([output.name for output in session.get_outputs()], session.run(None, {"features": values}), strict=True)
    )


def known_rows(make_rows, rng, rows=300):
    """Rows whose codes are those of training, as an encoder gives them."""
    values = make_rows(rng, rows, 6)
    values[:, 1::3] %= 70
    return values


def make_network(rng, *, derived=(), weight=1.0, link="sigmoid", outputs=1, activation="relu", numbers=(0, 2, 6, 7)):
    """Reads columns 5, 1, 2, 3, 4, 0, then the derived ones: numbers with cosines, a flag, categories, a hidden layer."""
    source = np.array([number for number in numbers if number < 6 + len(derived)], np.int32)
    count, widths, levels = len(source), np.array([3, 0], np.int32), np.array([70, 70], np.int32)
    units = [3 * count + 1 + 3, 40, outputs]
    network = Network(
        columns=6 + len(derived), source=source, center=rng.normal(size=count), factor=rng.uniform(0.5, 2, count),
        flags=np.array([2], np.int32), frequency=rng.normal(size=(count, 2)).astype(np.float32),
        phase=rng.normal(size=(count, 2)).astype(np.float32), categories=np.array([1, 4], np.int32),
        start=np.array([0, 213], np.int32), width=widths, levels=levels, table=rng.normal(size=213).astype(np.float32),
        weights=tuple(rng.normal(size=shape).astype(np.float32) / 4 for shape in pairwise(units)),
        biases=tuple(rng.normal(size=size).astype(np.float32) for size in units[1:]), activation=activation,
        base=rng.normal(size=outputs), link=link, low=-3.0, high=3.0, scale=1.5, derived=(),
    )  # fmt: skip
    return Opaque("network", None, NetworkModel(network), np.array([5, 1, 2, 3, 4, 0], np.int32), derived, weight)


CASES = {
    "numbers": ({"sets": False, "derived": False}, ()),
    "sets": ({"derived": False}, ()),
    "derived": ({}, ()),
    "single leaves": ({"leaves": 1}, ()),
    "exp": ({"link": "exp"}, ()),
    "sigmoid": ({"link": "sigmoid"}, ("a", "b")),
    "softmax": ({"link": "softmax", "outputs": 3}, ("a", "b", "c")),
    "probability": ({"link": "probability", "outputs": 3, "width": 3}, (1, 2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_forest_predicts_the_same(make_forest, make_rows, rng, tmp_path, case) -> None:
    arguments, classes = CASES[case]
    model = make([Part(make_forest(rng, **arguments), 1.0)], classes=classes)
    values = known_rows(make_rows, rng)
    said = run(model, values, tmp_path)
    want = model.predict_proba(values) if classes else model.predict(values)
    np.testing.assert_allclose(said["probabilities" if classes else "prediction"], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("link", "classes"), [("identity", ()), ("softmax", (1, 2, 3))])
def test_additive_model_predicts_the_same(make_additive, make_rows, rng, tmp_path, link, classes) -> None:
    model = make([Part(make_additive(rng, link=link, outputs=max(len(classes), 1)), 1.0)], classes=classes)
    values = known_rows(make_rows, rng)
    said = run(model, values, tmp_path)
    want = model.predict_proba(values) if classes else model.predict(values)
    np.testing.assert_allclose(said["probabilities" if classes else "prediction"], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [("no", "yes"), (0, 1), (False, True), (0.0, 1.0)])
def test_ensemble_predicts_the_same_labels(make_forest, make_additive, make_rows, rng, tmp_path, classes) -> None:
    parts = [Part(make_forest(rng, link="sigmoid"), 0.6), Part(make_additive(rng, link="sigmoid"), 0.4)]
    model = make(parts, classes=classes, temperature=1.4, threshold=0.4)
    values = known_rows(make_rows, rng)
    said = run(model, values, tmp_path)
    np.testing.assert_allclose(said["probabilities"], model.predict_proba(values), rtol=1e-5, atol=1e-6)
    assert said["label"].tolist() == model.predict(values).tolist()


@pytest.mark.parametrize("activation", ["relu", "mish", "selu"])
@pytest.mark.parametrize(("link", "classes"), [("identity", ()), ("sigmoid", ("a", "b")), ("softmax", (1, 2, 3))])
def test_network_predicts_the_same(make_additive, make_rows, rng, tmp_path, link, classes, activation) -> None:
    outputs, derived = 3 if link == "softmax" else 1, make_additive(rng).derived
    member = make_network(rng, derived=derived, link=link, outputs=outputs, activation=activation)
    model, values = make([], [member], classes=classes), known_rows(make_rows, rng)
    values[:40, 0], values[20:60, 5] = np.tile([1e30, -1e30], 20), np.repeat([3e38, -3e38], 20)
    said = run(model, values, tmp_path)
    want = model.predict_proba(values) if classes else model.predict(values)
    np.testing.assert_allclose(said["probabilities" if classes else "prediction"], want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("code", [70, 1e9, 1e30, -2, -1e30])
def test_network_counts_what_is_no_code_as_missing(make_rows, rng, tmp_path, code) -> None:
    values = known_rows(make_rows, rng, 1)
    values[:, [1, 4]] = np.nan, code
    values = np.concatenate([values, values])
    values[1, 1] = code
    one, other = run(make([], [make_network(rng)], classes=(0, 1)), values, tmp_path)["probabilities"]
    assert one.tolist() == other.tolist()


def test_network_without_numbers_predicts_the_same(make_rows, rng, tmp_path) -> None:
    model, values = make([], [make_network(rng, numbers=())], classes=(0, 1)), known_rows(make_rows, rng)
    np.testing.assert_allclose(run(model, values, tmp_path)["probabilities"], model.predict_proba(values), atol=1e-5)


def test_networks_share_an_ensemble_with_a_forest(make_forest, make_rows, rng, tmp_path) -> None:
    networks = [make_network(rng, weight=0.3), make_network(rng, weight=0.2, activation="mish")]
    model = make([Part(make_forest(rng, link="sigmoid"), 0.5)], networks, classes=("a", "b"), temperature=0.6)
    values = known_rows(make_rows, rng)
    said = run(model, values, tmp_path)
    np.testing.assert_allclose(said["probabilities"], model.predict_proba(values), rtol=0, atol=1e-5)
    assert said["label"].tolist() == model.predict(values).tolist()


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_fitted_perceptron_predicts_the_same(rng, tmp_path, kind) -> None:
    pytest.importorskip("automl_sklearn.perceptron")
    from automl import AutoML, load_model
    from automl_core.settings import load_settings

    data = {"a": rng.normal(size=200), "t": 1.6e9 + 1e6 * rng.normal(size=200), "b": rng.choice(["x", "y", "z"], 200)}
    number = data["a"] + (data["b"] == "x") + 0.1 * rng.normal(size=200)
    data["a"][::7] = np.nan
    target = {"regression": number, "binary": number > 0.3, "multiclass": np.digitize(number, [0, 1])}[kind]
    settings = load_settings(learners=("sklearn.perceptron",), directory=str(tmp_path))
    AutoML(time_limit=None, max_trials=1, folds=2, n_jobs=1, settings=settings).fit(data, target).save(tmp_path / "m")
    model = load_model(tmp_path / "m")
    new = {"a": [0.3, None, 1e30, -1e30], "t": [1.6e9, None, 1e30, -1e30], "b": ["y", "unseen", None, "x"]}
    said = run(model, model.encoder.encode(new), tmp_path)
    want = model.predict(new) if kind == "regression" else model.predict_proba(new)
    np.testing.assert_allclose(said["prediction" if kind == "regression" else "probabilities"], want, atol=1e-5)


def test_file_names_its_columns(make_forest, rng, tmp_path) -> None:
    import onnx

    make([Part(make_forest(rng), 1.0)]).export_onnx(tmp_path / "m.onnx")
    notes = {note.key: note.value for note in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(notes["columns"])[1] == {"name": "x1", "categories": 70}


def test_member_that_is_neither_flat_nor_a_network_is_told(make_model, tmp_path) -> None:
    with pytest.raises(DataError, match="'none' is neither flat nor a network"):
        make_model("opaque").export_onnx(tmp_path / "m.onnx")


def test_missing_package_is_told(make_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"automl-sdk\[onnx\]"):
        make_model().export_onnx(tmp_path / "m.onnx")
