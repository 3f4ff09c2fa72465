from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

from automl_core import Column, Data, DataError, Learner
from automl_core.testing.flat import evaluate
from automl_sklearn.boosting import HistGradientBoosting
from automl_sklearn.flatten import round_down
from automl_sklearn.forest import NODES, ExtraTrees, RandomForest

from .tables import job, mixed, numbers

FORESTS = [RandomForest(trees=12), ExtraTrees(trees=12)]
ALL = [*FORESTS, HistGradientBoosting()]


def name(learner: Learner) -> str:
    return type(learner).__name__


def test_rounding_keeps_every_decision_on_float32() -> None:
    rng = np.random.default_rng(0)
    values = np.unique(rng.normal(size=2000).astype(np.float32))
    thresholds = np.concatenate([rng.normal(size=500), (values[1:].astype(float) + values[:-1]) / 2, [np.inf, 0.1]])
    narrow = round_down(thresholds)
    assert np.array_equal(values[:, None] <= thresholds, values[:, None] <= narrow)


@pytest.mark.parametrize("learner", ALL, ids=name)
@pytest.mark.parametrize("levels", [20, 255, 256, 400])
def test_export_is_exact_with_missing_and_unseen_codes(learner: Learner, levels: int) -> None:
    data = mixed(levels=levels)
    params = {"learning_rate": 0.3} if isinstance(learner, HistGradientBoosting) else {}
    model = learner.fit(job(data, "regression", params=params))
    rng = np.random.default_rng(1)
    asked = data.values.copy()
    asked[:, 3] = rng.integers(0, levels, len(asked))  # with codes that no training row has
    asked[rng.random(asked.shape) < 0.2] = np.nan
    assert np.abs(evaluate(model.export(), asked) - model.predict(asked)).max() < 1e-9


@pytest.mark.parametrize("learner", ALL, ids=name)
def test_export_is_exact_on_real_classes(learner: Learner) -> None:
    values, target = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(values))[:600]
    data = numbers(values[rows], target[rows])
    model = learner.fit(job(data, "multiclass", classes=10, rounds=5))
    assert np.abs(evaluate(model.export(), data.values) - model.predict(data.values)).max() < 1e-9


@pytest.mark.parametrize("learner", FORESTS, ids=name)
def test_batches_of_trees_grow_the_same_forest(learner: Learner) -> None:
    values, target = load_wine(return_X_y=True)
    data = numbers(values, target)
    whole, batched = (
        learner.fit(job(data, "multiclass", classes=3, seconds=seconds)).predict(data.values)
        for seconds in (None, 60.0)
    )
    assert np.array_equal(whole, batched)


@pytest.mark.parametrize("learner", [RandomForest(), ExtraTrees()], ids=name)
def test_time_cuts_the_number_of_trees(learner: Learner) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30_000, 10))
    started = time.perf_counter()
    model = learner.fit(job(numbers(values, values.sum(axis=1)), "regression", seconds=0.5))
    assert model.rounds is not None
    assert 1 <= model.rounds < 150
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize("learner", FORESTS, ids=name)
def test_forest_of_noise_stays_within_its_size(learner: Learner) -> None:
    rng = np.random.default_rng(0)
    data = numbers(rng.normal(size=(40_000, 3)), rng.normal(size=40_000))
    forest = learner.fit(job(data, "regression")).export()
    assert len(forest.feature) <= NODES


def test_equal_leaves_are_stored_once() -> None:
    values, target = load_wine(return_X_y=True)
    forest = RandomForest(trees=30).fit(job(numbers(values, target), "multiclass", classes=3, share=1.0)).export()
    assert len(forest.values) < (forest.feature < 0).sum() / 10
    assert len(np.unique(forest.values, axis=0)) == len(forest.values)


def test_cover_adds_up_and_gain_is_at_splits_only() -> None:
    for learner in ALL:
        forest = learner.fit(job(mixed(), "regression")).export()
        inner = forest.feature >= 0
        children = forest.cover[forest.left[inner]] + forest.cover[forest.right[inner]]
        assert np.allclose(children, forest.cover[inner])
        assert (forest.gain[~inner] == 0).all()
        assert forest.gain[inner].sum() > 0


def test_boosting_in_time_is_boosting_at_once() -> None:
    data = mixed()
    whole, batched = (
        HistGradientBoosting().fit(job(data, "regression", params={"learning_rate": 0.2}, seconds=seconds))
        for seconds in (None, 300.0)
    )
    assert whole.curve == pytest.approx(batched.curve)
    assert whole.rounds == batched.rounds


def test_boosting_stops_on_the_valid_rows_and_keeps_the_best_round() -> None:
    model = HistGradientBoosting().fit(job(mixed(), "regression", params={"learning_rate": 0.3}))
    assert model.rounds == int(np.argmin(model.curve)) + 1
    assert len(model.curve) < 300


def test_boosting_estimates_a_quantile() -> None:
    rng = np.random.default_rng(0)
    data = numbers(rng.normal(size=(2000, 2)), rng.normal(size=2000))
    model = HistGradientBoosting().fit(job(data, "regression", objective="quantile:0.9"))
    assert (data.target < model.predict(data.values)).mean() == pytest.approx(0.9, abs=0.05)


def test_forest_cannot_be_monotone_and_says_so() -> None:
    data = mixed()
    asked = Data(data.values, (Column("a", monotone=1), *data.columns[1:]), data.target)
    with pytest.raises(DataError, match=r"random_forest.*'a'"):
        RandomForest().fit(job(asked, "regression"))
