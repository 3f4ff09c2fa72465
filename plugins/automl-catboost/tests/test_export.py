from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import catboost as cb
import numpy as np
import pandas as pd
import pytest

from automl_catboost.hashing import hash_codes
from automl_catboost.learner import CatBoostLearner
from automl_catboost.model import CatBoostModel, to_json
from automl_core import Column, Data, Forest, Job, Lookup
from automl_core.testing.flat import evaluate

LEVELS = (2, 3, 12, 60, 500)
CLASSES = {"binary": 2, "multiclass": 4, "regression": 0}
COLUMNS = (
    Column("first"),
    *(Column(f"of {levels}", levels) for levels in LEVELS),
    Column("second"),
    Column("complete"),
)


def make_data(task: str, rows: int = 1200) -> Data:
    """Make a target that hangs on pairs of categories, on categories of many levels, and on what is missing."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=(rows, 3))
    codes = np.column_stack([np.minimum(rng.geometric(3 / (levels + 2), rows) - 1, levels - 1) for levels in LEVELS])
    two, three, dozen, sixty, many = codes.T
    signal = numbers[:, 0] + (two ^ (dozen & 1)) + 0.5 * (sixty % 5) + (many % 3) * three
    values = np.column_stack([numbers[:, 0], codes, numbers[:, 1:]]).astype(np.float32)
    values[:, :-1][rng.random((rows, len(COLUMNS) - 1)) < 0.06] = np.nan
    target = signal + np.isnan(values[:, 2]) + 0.1 * rng.normal(size=rows)
    if CLASSES[task]:
        target = np.searchsorted(np.quantile(target, np.arange(1, CLASSES[task]) / CLASSES[task]), target)
    return Data(values, COLUMNS, target.astype(np.float64))


def shuffle_columns(values: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return rows whose columns come from different rows: combinations never seen, and more missing values."""
    rng = np.random.default_rng(8)
    mixed = np.column_stack([rng.permutation(column) for column in values.T])
    mixed[rng.random(mixed.shape) < 0.1] = np.nan
    return np.ascontiguousarray(mixed, dtype=np.float32)


def fit(task: str, params: dict[str, Any], **changes: Any) -> CatBoostModel:
    data = make_data(task)
    job = Job(data, np.arange(800), np.arange(800, 1000), task, CLASSES[task], params, **{"rounds": 40, **changes})
    model = CatBoostLearner().fit(job)
    assert isinstance(model, CatBoostModel)
    return model


def assert_exact(model: CatBoostModel, task: str) -> Forest:
    forest = model.export()
    assert forest is not None
    known = make_data(task).values
    for values in (known, shuffle_columns(known)):
        assert np.allclose(evaluate(forest, values), model.predict(values), rtol=1e-9, atol=1e-9)
    return forest


PARAMS: dict[str, dict[str, Any]] = {
    "default": {},
    "one-hot": {"one_hot_max_size": 20, "depth": 5},
    "combinations": {"max_ctr_complexity": 5, "one_hot_max_size": 4, "model_size_reg": 0.1},
    "depthwise": {"grow_policy": "Depthwise", "one_hot_max_size": 4},
    "lossguide": {"grow_policy": "Lossguide", "max_leaves": 9},
}


@pytest.mark.parametrize("task", sorted(CLASSES))
@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS.keys())
def test_exported_statistics_are_exact(task: str, params: dict[str, Any]) -> None:
    forest = assert_exact(fit(task, params), task)
    assert any(isinstance(derived, Lookup) for derived in forest.derived)


def test_combinations_of_all_kinds_are_exported() -> None:
    model = fit("binary", PARAMS["combinations"], rounds=150)
    made = {
        element["combination_element"]
        for statistic in to_json(model.booster)["features_info"]["ctrs"]
        for element in statistic["elements"]
    }
    assert made == {"cat_feature_value", "float_feature", "cat_feature_exact_value"}
    assert_exact(model, "binary")


@pytest.mark.parametrize("objective", ["absolute_error", "quantile:0.8"])
def test_other_objectives_are_exported(objective: str) -> None:
    assert_exact(fit("regression", {}, objective=objective), "regression")


def test_class_that_no_row_had_is_exported() -> None:
    data = make_data("multiclass")
    data.target[data.target == 1] = 2
    model = CatBoostLearner().fit(Job(data, np.arange(800), np.arange(800, 1000), "multiclass", 4, {}, rounds=20))
    forest = model.export()
    assert forest is not None
    assert np.allclose(evaluate(forest, data.values), model.predict(data.values), rtol=0, atol=1e-8)


def test_cut_model_names_fewer_statistics() -> None:
    model = fit("binary", {})
    short = assert_exact(model.cut(3), "binary")
    whole = assert_exact(model, "binary")
    assert len(short.derived) < len(whole.derived)


def test_pickled_model_is_exported_alike() -> None:
    model = fit("binary", PARAMS["combinations"])
    assert_exact(pickle.loads(pickle.dumps(model)).cut(20), "binary")


def test_pickled_model_leaves_the_rows_behind() -> None:
    model = fit("binary", {}, rounds=2)
    assert model.tuples is not None
    assert len(pickle.dumps(model.tuples)) < make_data("binary").values.nbytes / 2


def test_loaded_model_without_statistics_is_exported() -> None:
    learner, data = CatBoostLearner(), make_data("binary")
    numbers = Data(data.values[:, -2:].copy(), COLUMNS[-2:], data.target)
    model = learner.fit(Job(numbers, np.arange(800), None, "binary", 2, {}, rounds=10))
    loaded = learner.load(learner.dump(model))
    assert isinstance(loaded, CatBoostModel)
    forest = loaded.export()
    assert forest is not None
    assert np.allclose(evaluate(forest, numbers.values), model.predict(numbers.values), rtol=1e-9, atol=1e-9)


def test_loaded_model_with_statistics_has_no_flat_form() -> None:
    learner = CatBoostLearner()
    loaded = learner.load(learner.dump(fit("binary", {})))
    assert isinstance(loaded, CatBoostModel)
    assert loaded.export() is None


@pytest.mark.parametrize("params", [{}, {"one_hot_max_size": 20}, PARAMS["depthwise"], PARAMS["lossguide"]])
def test_cover_counts_the_training_rows(params: dict[str, Any]) -> None:
    forest = fit("binary", params, rounds=5).export()
    assert forest is not None
    assert forest.cover is not None
    assert (forest.cover[forest.roots] == 800).all()
    inner = forest.feature >= 0
    below = forest.cover[forest.left[inner]] + forest.cover[forest.right[inner]]
    assert np.array_equal(below, forest.cover[inner])


def test_oblivious_trees_stand_in_heap_order() -> None:
    forest = fit("binary", {"depth": 4, "one_hot_max_size": 20}, rounds=10).export()
    assert forest is not None
    for root, end in zip(forest.roots, [*forest.roots[1:], len(forest.feature)], strict=True):
        inner = np.flatnonzero(forest.feature[root:end] >= 0)
        assert np.array_equal(forest.left[root + inner], root + 2 * inner + 1)
        assert np.array_equal(forest.right[root + inner], root + 2 * inner + 2)
        level = np.log2(inner + 1).astype(int)
        for array in (forest.feature, forest.threshold, forest.category, forest.missing_left):
            assert all(len(np.unique(array[root + inner[level == one]])) == 1 for one in np.unique(level))


def test_hashes_are_those_of_catboost(tmp_path: Path) -> None:
    codes = np.array([-1, 0, 7, 42, 999, 1000, 31337, 123_456, 7_654_321, 99_999_999], dtype=np.int64)
    table = pd.DataFrame({"code": pd.Categorical.from_codes(np.arange(len(codes)), categories=[str(c) for c in codes])})
    pool = cb.Pool(table, np.arange(len(codes)) % 2, cat_features=["code"])
    model = cb.CatBoost({"loss_function": "RMSE", "iterations": 1, "allow_writing_files": False, "silent": True})
    model.fit(pool)
    model.save_model(str(tmp_path / "model.py"), format="python", pool=pool)
    told = re.findall(r'^ *"(-?\d+)": (-?\d+),$', (tmp_path / "model.py").read_text(), flags=re.MULTILINE)
    assert {int(name): int(value) for name, value in told} == dict(
        zip(codes.tolist(), hash_codes(codes).view(np.int64).tolist(), strict=True)
    )


@pytest.mark.parametrize("code", [-2, 100_000_000])
def test_codes_that_cannot_be_hashed_are_a_value_error(code: int) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        hash_codes(np.array([code], dtype=np.int64))


def test_altered_model_is_a_value_error() -> None:
    learner = CatBoostLearner()
    head, _, blob = learner.dump(fit("binary", {}, rounds=2)).partition(b"\n")
    for data in (head, head + b"\n" + blob[: len(blob) // 2], json.dumps([1]).encode() + b"\n" + blob, b"{}\n" + blob):
        with pytest.raises(ValueError, match="no model of CatBoost"):
            learner.load(data)
