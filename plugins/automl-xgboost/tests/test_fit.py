from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import xgboost as xgb

from automl_core import BINARY, REGRESSION, Column, Context, SettingsError
from automl_core.testing.flat import evaluate
from automl_core.testing.tables import make_table
from automl_xgboost import matrices
from automl_xgboost.learner import XGBoostLearner
from automl_xgboost.plugin import build
from automl_xgboost.portfolio import learning_rate, make_portfolio
from automl_xgboost.stopping import most_patience

FAST = {"learning_rate": 0.3, "max_depth": 3}


def keyed(task, **changes):
    table = make_table(task, **changes)
    return table.with_data(key="table")


@pytest.fixture
def count_binning(monkeypatch):
    """Count the folds that are put in bins, and let each take a while."""
    done = []
    real = matrices.sample

    def sample(job):
        done.append((job.data.key, len(job.train)))
        time.sleep(0.1)
        return real(job)

    monkeypatch.setattr(matrices, "sample", sample)
    return done


def test_fold_is_binned_once_by_many_threads(count_binning):
    table = keyed(REGRESSION)
    learner = XGBoostLearner()
    jobs = [table.job(params=FAST, train=table.train[: 200 + i % 2], seed=i) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(learner.fit, jobs))
    assert sorted(count_binning) == [("table", 200), ("table", 201)]
    values = table.values(table.test)
    for job, model in zip(jobs, together, strict=True):
        assert np.array_equal(model.predict(values), XGBoostLearner().fit(job).predict(values))


@pytest.mark.parametrize("objective", ["absolute_error", "quantile:0.9"])
def test_kept_bins_change_no_prediction(objective):
    table = keyed(REGRESSION)
    job = table.job(params=FAST, objective=objective)
    learner = XGBoostLearner()
    learner.fit(table.job(params=FAST))
    assert np.array_equal(
        learner.fit(job).predict(table.data.values), XGBoostLearner().fit(job).predict(table.data.values)
    )


def test_only_the_last_folds_are_kept(count_binning):
    table, learner = keyed(BINARY), XGBoostLearner()
    for size in [*range(100, 109), 108, 100]:
        learner.fit(table.job(params=FAST, train=table.train[:size], rounds=1, valid=None))
    assert [size for _, size in count_binning] == [*range(100, 109), 100]


def test_failed_binning_is_tried_again(monkeypatch):
    table, learner = keyed(BINARY), XGBoostLearner()
    with monkeypatch.context() as patch:
        patch.setattr(matrices, "sample", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learner.fit(table.job(params=FAST))
    assert learner.fit(table.job(params=FAST)).rounds > 0


def test_binned_folds_are_not_pickled_with_the_learner():
    learner = XGBoostLearner()
    learner.fit(keyed(BINARY, rows=5000).job(params=FAST, rounds=1))
    assert len(pickle.dumps(learner)) < 5000


def test_categories_of_no_training_row_are_missing():
    # "city" alone tells the target; XGBoost itself would send unknown cities left at every split.
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 40, 2000)
    table = make_table(BINARY, rows=2000)
    values = np.full_like(table.data.values, np.nan)
    values[:, 4] = codes
    columns = (*table.data.columns[:4], Column("city", 40))
    table = table.with_data(values=values, columns=columns, target=(rng.normal(size=40)[codes] > 0).astype(float))
    seen = np.flatnonzero((codes % 4 > 0) & (rng.random(2000) < 0.8))
    valid = np.flatnonzero(codes % 4 == 0)
    model = XGBoostLearner().fit(table.job(params=FAST, train=seen, valid=valid, rounds=30))
    unknown, missing = table.values(valid), np.full((1, 5), np.nan, np.float32)
    assert np.ptp(model.predict(unknown)[:, 1]) == 0
    assert np.array_equal(model.predict(unknown[:1]), model.predict(missing))
    assert np.array_equal(evaluate(model.export(), unknown[:1]), evaluate(model.export(), missing))
    share = np.mean(np.log(model.predict(unknown)[np.arange(len(valid)), table.data.target[valid].astype(int)]))
    assert -share == pytest.approx(model.curve[-1], rel=1e-5)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1e-6), (1e9, 1e3), (-5.0, 1e12)])
def test_unit_of_the_target_does_not_matter(shift, scale):
    table = make_table(REGRESSION)
    params = {**FAST, "reg_alpha": 3.0}
    plain = XGBoostLearner().fit(table.job(params=params))
    moved = XGBoostLearner().fit(table.with_data(target=shift + scale * table.data.target).job(params=params))
    values = table.values(table.test)
    assert np.allclose((moved.predict(values) - shift) / scale, plain.predict(values), atol=1e-4)
    assert np.allclose(np.array(moved.curve) / scale, plain.curve, rtol=1e-3)


@pytest.mark.parametrize(
    ("objective", "share"), [("absolute_error", 0.5), ("quantile:0.9", 0.9), ("quantile:0.2", 0.2)]
)
def test_objective_words(objective, share):
    table = make_table(REGRESSION, rows=2000)
    target = np.random.default_rng(0).exponential(size=2000)
    table = table.with_data(target=target, values=np.zeros_like(table.data.values))
    model = XGBoostLearner().fit(table.job(params=FAST, objective=objective, valid=None, rounds=100))
    assert np.mean(target[table.train] <= model.predict(table.values(table.test))[0]) == pytest.approx(share, abs=0.03)


def test_unknown_objective_stands_for_the_usual_one():
    table = make_table(REGRESSION)
    usual, odd = (XGBoostLearner().fit(table.job(params=FAST, objective=word)) for word in ("", "quantile:7"))
    assert np.array_equal(usual.predict(table.data.values), odd.predict(table.data.values))


def test_curve_is_the_loss_of_each_round():
    table = make_table(REGRESSION)
    model = XGBoostLearner().fit(table.job(params=FAST))
    target = table.data.target[table.valid]
    for rounds in (1, model.rounds, len(model.curve)):
        predicted = model.cut(rounds).predict(table.values(table.valid))
        assert np.sqrt(np.mean((predicted - target) ** 2)) == pytest.approx(model.curve[rounds - 1], rel=1e-5)


def test_stops_early_and_keeps_the_best_round():
    model = XGBoostLearner().fit(make_table(BINARY).job(params=FAST))
    best = int(np.argmin(model.curve)) + 1
    assert model.rounds == best
    assert len(model.curve) == best + max(30, round(0.3 * best + 20)) + 1


def test_rounds_are_exact_also_with_valid_rows():
    model = XGBoostLearner().fit(make_table(BINARY).job(params=FAST, rounds=80))
    assert (model.rounds, len(model.curve)) == (80, 80)
    assert int(np.argmin(model.curve)) + 1 < 80


@pytest.mark.parametrize(("rows", "most"), [(100, 300), (10_000, 300), (50_000, 60), (1_000_000, 30)])
def test_patience_is_shorter_for_many_rows(rows, most):
    assert most_patience(rows) == most


def test_time_is_kept_within_a_round():
    table = make_table(BINARY, rows=20_000)
    started = time.monotonic()
    model = XGBoostLearner().fit(table.job(params={"learning_rate": 0.005, "max_depth": 12}, seconds=1.0))
    assert time.monotonic() - started < 30
    assert 1 <= model.rounds < 10_000


@pytest.mark.parametrize("task", [BINARY, REGRESSION])
def test_resumed_model_is_the_one_fitted_at_once(task):
    job = make_table(task).job(params=FAST, train=np.arange(400), valid=None)
    learner, values = XGBoostLearner(), job.data.values
    half = learner.fit(replace(job, rounds=30)).cut(10)
    both = learner.resume(half, replace(job, rounds=15))
    assert both.rounds == 25
    assert np.allclose(both.predict(values), learner.fit(replace(job, rounds=25)).predict(values), atol=1e-5)


def test_resume_watches_valid_rows():
    table = make_table(BINARY)
    learner = XGBoostLearner()
    first = learner.fit(table.job(params=FAST, valid=None, rounds=2))
    more = learner.resume(first, table.job(params=FAST))
    assert 2 < more.rounds < 200
    assert more.curve == ()


def test_resume_refuses_a_model_of_other_classes():
    learner = XGBoostLearner()
    model = learner.fit(make_table(BINARY).job(params=FAST))
    with pytest.raises(ValueError, match="no XGBoost model of 0 classes"):
        learner.resume(model, make_table(REGRESSION).job(params=FAST))


def test_same_parameters_as_the_library_give_its_predictions():
    table = make_table(BINARY)
    values, target = table.data.values, table.data.target
    options = {"feature_types": ["q", "q", "q", "c", "c"], "enable_categorical": True}
    share = (target.sum() + 0.5) / (len(target) + 1)
    params = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, "base_score": share, **FAST}
    bare = xgb.train(params, xgb.QuantileDMatrix(values, target, **options), 20)
    model = XGBoostLearner().fit(table.job(params=FAST, train=np.arange(400), valid=None, rounds=20))
    assert np.allclose(model.predict(values)[:, 1], bare.predict(xgb.DMatrix(values, **options)), atol=1e-5)


def test_rate_grows_with_rows():
    rates = [learning_rate(task, rows) for task in (BINARY, REGRESSION) for rows in (200, 5000, 100_000)]
    assert rates == pytest.approx([0.0237, 0.0525, 0.1, 0.0389, 0.0644, 0.1], abs=1e-3)


def test_portfolio_starts_with_an_anchor_and_goes_on_with_variants():
    ranks = [candidate.rank for candidate in make_portfolio(BINARY, 5000)]
    assert ranks[0] < 10 < ranks[1]
    assert ranks == sorted(ranks)


@pytest.mark.skipif(xgb.build_info()["USE_CUDA"], reason="this XGBoost has CUDA")
def test_device_that_is_not_built_in_is_refused():
    with pytest.raises(SettingsError, match="no CUDA"):
        build(Context("xgboost", {"device": "cuda:1"}))


def test_settings():
    assert build(Context("xgboost", {"device": "cpu"})).device == "cpu"
    with pytest.raises(SettingsError, match=r"plugins\.xgboost\.device"):
        build(Context("xgboost", {"device": "abacus"}))
