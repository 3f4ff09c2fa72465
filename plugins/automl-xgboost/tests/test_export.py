"""The flat form is XGBoost's own prediction, on values chosen to hurt."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from automl_core import BINARY, MULTICLASS, REGRESSION, Column, Data, Job
from automl_core.testing.flat import evaluate
from automl_xgboost import ubjson
from automl_xgboost.learner import XGBoostLearner

LEVELS = (5, 40, 600)  # one word of bits, two, many more than it has bins for numbers


def make_job(task, classes=0, *, rows=2000, missing=True, seed=0, rounds=30, **params):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3)) * [1.0, 1e-3, 1e6]
    numbers[:, 0] = np.round(numbers[:, 0], 1)  # ties, and zeros of both signs
    codes = [np.minimum(rng.geometric(3 / levels, rows) - 1, levels - 1) for levels in LEVELS]
    signal = numbers[:, 0] + 1e3 * numbers[:, 1] + sum(np.sin(code * 7.0) for code in codes)
    values = np.column_stack([numbers, *codes]).astype(np.float32)
    if missing:
        values[rng.random(values.shape) < 0.05] = np.nan
    columns = tuple(Column(f"c{i}", levels) for i, levels in enumerate((0, 0, 0, *LEVELS)))
    target = signal
    if task != REGRESSION:
        target = np.searchsorted(np.quantile(signal, np.arange(1, classes) / classes), signal).astype(np.float64)
    given = {"max_depth": 5, "max_cat_to_onehot": 8, **params}
    return Job(Data(values, columns, target), np.arange(rows), None, task, classes, given, rounds=rounds)


def adversarial(forest, values):
    """Return rows that hit every threshold, stand one float beside it, lack values or have codes never seen."""
    rng = np.random.default_rng(1)
    rows = values[rng.integers(0, len(values), 3000)].copy()
    for column in range(forest.columns):
        cuts = forest.threshold[(forest.feature == column) & (forest.category < 0)]
        if len(cuts):
            ends = np.finfo(np.float32)
            near = [cuts, np.nextafter(cuts, ends.max), np.nextafter(cuts, ends.min)]
            pool = np.concatenate([*near, np.float32([0, -0.0, 3.4e38, -3.4e38, 1e-35, -1e-35, 1e-38, -1e-38, np.nan])])
        else:
            pool = np.float32([*range(0, 700, 13), 31, 32, 63, 64, 255, 256, 10_000, 2**24, np.nan])
        rows[:, column] = np.where(rng.random(len(rows)) < 0.5, rng.choice(pool, len(rows)), rows[:, column])
    return np.concatenate([rows, np.full((1, forest.columns), np.nan, np.float32)])


@pytest.mark.parametrize("missing", [True, False], ids=["missing", "complete"])
@pytest.mark.parametrize(("task", "classes"), [(BINARY, 2), (MULTICLASS, 26), (REGRESSION, 0)])
def test_predicts_the_same_on_adversarial_values(task, classes, missing):
    job = make_job(task, classes, missing=missing)
    model = XGBoostLearner().fit(job)
    forest = model.export()
    rows = adversarial(forest, job.data.values)
    assert np.allclose(evaluate(forest, rows), model.predict(rows), rtol=1e-6, atol=1e-6)
    assert (forest.category >= 0).any()
    assert (forest.words > 1).any()


@pytest.mark.parametrize(
    "params", [{"max_depth": 2}, {"grow_policy": "lossguide", "max_leaves": 20}, {"max_cat_to_onehot": 100}], ids=str
)
def test_predicts_the_same_for_other_trees(params):
    job = make_job(BINARY, 2, **params)
    model = XGBoostLearner().fit(job)
    rows = adversarial(model.export(), job.data.values)
    assert np.allclose(evaluate(model.export(), rows), model.predict(rows), rtol=1e-6, atol=1e-6)


def test_predicts_the_same_after_thousands_of_rounds():
    job = make_job(REGRESSION, rows=300, rounds=2000, learning_rate=0.01, max_depth=3)
    far = replace(job, data=replace(job.data, target=1e6 + 1e5 * job.data.target))
    model = XGBoostLearner().fit(far)
    assert np.allclose(evaluate(model.export(), job.data.values), model.predict(job.data.values), rtol=1e-6)


def test_trees_of_one_leaf():
    job = make_job(MULTICLASS, 3, rows=30, min_child_weight=10.0, rounds=4)
    job = replace(job, data=replace(job.data, weight=np.full(30, 1e-3)))
    model = XGBoostLearner().fit(job)
    forest = model.export()
    assert (forest.feature < 0).all()
    assert np.allclose(evaluate(forest, job.data.values), model.predict(job.data.values), rtol=1e-6)


def test_constant_class_exports_finite_numbers():
    job = make_job(BINARY, 2)
    forest = XGBoostLearner().fit(replace(job, data=replace(job.data, target=np.ones(2000)))).export()
    assert np.isfinite(forest.base).all()
    assert np.isfinite(forest.values).all()


def test_cover_adds_up_and_gain_is_of_splits_only():
    forest = XGBoostLearner().fit(make_job(REGRESSION)).export()
    inner = forest.feature >= 0
    assert (forest.cover[forest.roots] == 2000).all()
    assert np.allclose(forest.cover[inner], forest.cover[forest.left[inner]] + forest.cover[forest.right[inner]])
    assert (forest.gain[inner] > 0).all()
    assert (forest.gain[~inner] == 0).all()


def test_cut_model_exports_the_trees_of_its_rounds():
    job = make_job(MULTICLASS, 3)
    cut = XGBoostLearner().fit(job).cut(7)
    assert len(cut.export().roots) == 21
    assert np.allclose(evaluate(cut.export(), job.data.values), cut.predict(job.data.values), rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_bytes_that_are_cut_short_are_refused(size):
    raw = XGBoostLearner().fit(make_job(REGRESSION)).raw
    with pytest.raises(ValueError, match="cut"):
        ubjson.read(raw[:size])


def test_reader_reads_what_xgboost_writes():
    booster = XGBoostLearner().fit(make_job(MULTICLASS, 3)).booster

    def plain(value):
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, (list, np.ndarray)):
            return [plain(item) for item in value]
        return pytest.approx(float(value), rel=1e-6) if isinstance(value, (float, np.floating)) else value

    assert json.loads(bytes(booster.save_raw("json"))) == plain(ubjson.read(bytes(booster.save_raw("ubj"))))
