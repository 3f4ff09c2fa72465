"""ONNX Runtime predicts what the model predicts."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from automl.predictor import Part, Predictor
from automl_core import Column, DataError

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


def make(parts, *, classes=(), temperature=1.0, **arguments):
    from automl.model import Model

    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    return Model(
        Encoded(),
        Predictor(parts, classes=len(classes), temperature=temperature),
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


def test_file_names_its_columns(make_forest, rng, tmp_path) -> None:
    import onnx

    make([Part(make_forest(rng), 1.0)]).export_onnx(tmp_path / "m.onnx")
    notes = {note.key: note.value for note in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(notes["columns"])[1] == {"name": "x1", "categories": 70}


def test_member_without_flat_form_is_told(make_model, tmp_path) -> None:
    with pytest.raises(DataError, match="'none' has no flat form"):
        make_model("opaque").export_onnx(tmp_path / "m.onnx")


def test_missing_package_is_told(make_model, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"automl-sdk\[onnx\]"):
        make_model().export_onnx(tmp_path / "m.onnx")
