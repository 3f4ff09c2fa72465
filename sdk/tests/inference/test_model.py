"""A model takes rows in any shape and answers in its own labels."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from automl.model import Model
from automl_core import DataError


def test_one_row_gives_one_answer(make_model, make_table) -> None:
    model, row = make_model(), make_table().to_pylist()[3]
    assert model.predict(row).shape == (1,)
    assert model.predict_proba(row).shape == (1, 2)


@pytest.mark.parametrize("shape", ["dicts", "columns", "pandas", "arrow"])
def test_all_shapes_of_the_same_rows_give_the_same_answer(make_model, make_table, shape) -> None:
    model, table = make_model(), make_table()
    data = {"dicts": table.to_pylist, "columns": table.to_pydict, "pandas": table.to_pandas, "arrow": lambda: table}[
        shape
    ]()
    np.testing.assert_array_equal(model.predict_proba(data), model.predict_proba(table))


def test_rows_alone_and_together_give_the_same_answer(make_model, make_table) -> None:
    model, table = make_model("multiclass"), make_table()
    together = model.predict_proba(table)
    alone = np.concatenate([model.predict_proba(row) for row in table.to_pylist()])
    np.testing.assert_allclose(alone, together, rtol=1e-14)


def test_label_is_the_most_likely_one(make_model, make_table) -> None:
    model, table = make_model("multiclass"), make_table()
    np.testing.assert_array_equal(model.predict(table), np.array([1, 2, 5])[model.predict_proba(table).argmax(axis=1)])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_label_of_two_is_by_threshold(make_model, make_table, threshold) -> None:
    model, table = make_model(threshold=threshold), make_table()
    np.testing.assert_array_equal(model.predict(table) == "yes", model.predict_proba(table)[:, 1] >= threshold)


@pytest.mark.parametrize(
    ("labels", "dtype"), [(["a", "b"], "U"), ([0, 1], "i"), ([False, True], "b"), ([0.5, 1.5], "f"), (["a", 1], "O")]
)
def test_labels_keep_their_type(make_model, make_table, labels, dtype) -> None:
    model = make_model(classes=labels)
    said = model.predict(make_table())
    assert said.dtype.kind == dtype
    assert {type(label) for label in said.tolist()} <= {type(label) for label in labels}


def test_numbers_have_no_probabilities(make_model, make_table) -> None:
    with pytest.raises(DataError, match="use predict"):
        make_model("regression").predict_proba(make_table())


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_contributions_of_inputs_add_up(make_model, make_table, kind) -> None:
    model, table = make_model(kind), make_table(20)
    said = model.predict_contributions(table)
    assert said.shape[:2] == (20, len(model.names) + 1)
    want = model.predict(table) if kind == "regression" else model.predict_proba(table)
    np.testing.assert_allclose(said.sum(axis=1), want, rtol=1e-9)


def test_importance_names_the_inputs(make_model) -> None:
    model = make_model()
    shares = model.feature_importance()
    assert set(shares) == {"size", "colour", "day", "count"}
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_missing_column_is_named(make_model) -> None:
    with pytest.raises(DataError, match="colour"):
        make_model().predict({"size": 1.0, "day": None, "count": 3})


def test_classes_that_do_not_fit_the_predictor_are_refused(make_model) -> None:
    with pytest.raises(DataError, match="3 classes"):
        make_model(classes=["a", "b", "c"])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_must_be_a_probability(make_model, threshold) -> None:
    with pytest.raises(DataError, match="threshold"):
        make_model(threshold=threshold)


def test_leaderboard_is_a_table(make_model) -> None:
    board = make_model().leaderboard()
    assert board[0]["name"] == "ensemble"
    assert "log_loss" in str(board)


@pytest.mark.parametrize("kind", ["binary", "opaque"])
def test_model_survives_a_pickle(make_model, make_table, kind) -> None:
    model, table = make_model(kind), make_table()
    again = pickle.loads(pickle.dumps(model))
    assert isinstance(again, Model)
    np.testing.assert_array_equal(again.predict(table), model.predict(table))


def test_loading_and_predicting_loads_no_heavy_library(make_model, make_table, tmp_path) -> None:
    make_model().save(tmp_path / "m.automl")
    row = {"size": 1.5, "colour": "red", "day": "2024-05-01", "count": 3}
    code = (
        "import sys\nfrom automl import load_model\n"
        f"print(load_model({str(tmp_path / 'm.automl')!r}).predict_proba({row!r}).sum())\n"
        "heavy = {'pyarrow', 'pandas', 'sklearn', 'scipy', 'lightgbm', 'pydantic', 'rich', 'fsspec'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[1] == "[]"
    assert float(done.stdout.split("\n")[0]) == pytest.approx(1)


def test_numpy_is_left_for_when_the_file_is_being_unpacked() -> None:
    code = "import sys, automl\nassert automl.load_model\nprint('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
