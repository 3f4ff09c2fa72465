from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from automl_core import BINARY, REGRESSION, Context, SettingsError
from automl_core.testing.tables import make_table
from automl_lightgbm import binned
from automl_lightgbm.learner import LightGBMLearner
from automl_lightgbm.plugin import build
from automl_lightgbm.portfolio import learning_rate, make_portfolio
from automl_lightgbm.stopping import most_patience

FAST = {"learning_rate": 0.3, "num_leaves": 6, "min_data_in_leaf": 5}


def keyed(task, **changes):
    table = make_table(task, **changes)
    return table.with_data(key="table")


@pytest.fixture
def count_binning(monkeypatch):
    """Count the tables that are put in bins, and let each take a while."""
    done = []
    real = binned.bin_rows

    def bin_rows(data, rows, threads, **options):
        done.append(data.key)
        time.sleep(0.1)
        return real(data, rows, threads, **options)

    monkeypatch.setattr(binned, "bin_rows", bin_rows)
    return done


def test_table_is_binned_once_by_many_threads(count_binning):
    table = keyed(REGRESSION)
    learner = LightGBMLearner()
    jobs = [table.job(params=FAST, train=np.roll(table.train, -40 * i)[:120], seed=i) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(learner.fit, jobs))
    assert count_binning == ["table"]
    values = table.values(table.test)
    for job, model in zip(jobs, together, strict=True):
        assert np.array_equal(model.predict(values), LightGBMLearner().fit(job).predict(values))


def test_kept_bins_change_no_prediction():
    # Other rows of the table shape the bins, so the same rows must see the same bins with and without a key.
    table, values = make_table(BINARY), make_table(BINARY).data.values
    without = LightGBMLearner().fit(table.job(params=FAST)).predict(values)
    learner = LightGBMLearner()
    learner.fit(keyed(BINARY).job(params={**FAST, "num_leaves": 3}))
    assert np.array_equal(learner.fit(keyed(BINARY).job(params=FAST)).predict(values), without)


def test_only_the_last_tables_are_kept(count_binning):
    learner = LightGBMLearner()
    table = make_table(BINARY)
    for key in [*"abcde", "e", "a"]:
        learner.fit(table.with_data(key=key).job(params=FAST, rounds=1, valid=None))
    assert count_binning == [*"abcde", "a"]


def test_failed_binning_is_tried_again(monkeypatch):
    table, learner = keyed(BINARY), LightGBMLearner()
    with monkeypatch.context() as patch:
        patch.setattr(binned, "bin_rows", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learner.fit(table.job(params=FAST))
    assert learner.fit(table.job(params=FAST)).rounds > 0


def test_binned_table_is_not_pickled_with_the_learner():
    learner = LightGBMLearner()
    learner.fit(keyed(BINARY, rows=5000).job(params=FAST, rounds=1))
    assert len(pickle.dumps(learner)) < 5000


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1e-6), (1e9, 1e3), (-5.0, 1e12)])
def test_unit_of_the_target_does_not_matter(shift, scale):
    table = make_table(REGRESSION)
    params = {**FAST, "lambda_l1": 0.9}
    plain = LightGBMLearner().fit(table.job(params=params))
    moved = LightGBMLearner().fit(table.with_data(target=shift + scale * table.data.target).job(params=params))
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
    model = LightGBMLearner().fit(table.job(params=FAST, objective=objective, valid=None, rounds=100))
    assert np.mean(target[table.train] <= model.predict(table.values(table.test))[0]) == pytest.approx(share, abs=0.03)


def test_unknown_objective_stands_for_the_usual_one():
    table = make_table(REGRESSION)
    usual, odd = (LightGBMLearner().fit(table.job(params=FAST, objective=word)) for word in ("", "quantile:7"))
    assert np.array_equal(usual.predict(table.data.values), odd.predict(table.data.values))


def test_curve_is_the_loss_of_each_round():
    table = make_table(REGRESSION)
    model = LightGBMLearner().fit(table.job(params=FAST))
    target = table.data.target[table.valid]
    for rounds in (1, model.rounds, len(model.curve)):
        predicted = model.cut(rounds).predict(table.values(table.valid))
        assert np.sqrt(np.mean((predicted - target) ** 2)) == pytest.approx(model.curve[rounds - 1], rel=1e-5)


def test_rounds_without_a_split_are_no_rounds():
    table = make_table(BINARY, rows=150)
    params = {"learning_rate": 0.3, "num_leaves": 4, "min_data_in_leaf": 40, "bagging_fraction": 0.9}
    model = LightGBMLearner().fit(table.job(params=params, rounds=400))
    assert model.rounds == len(model.curve) == len(model.export().roots) < 400
    target = table.data.target[table.valid].astype(bool)
    for rounds in (5, model.rounds // 2, model.rounds):
        said = model.cut(rounds).predict(table.values(table.valid))[:, 1]
        loss = -np.mean(np.log(np.where(target, said, 1 - said)))
        assert loss == pytest.approx(model.curve[rounds - 1], rel=1e-5)


def test_stops_early_and_keeps_the_best_round():
    model = LightGBMLearner().fit(make_table(BINARY).job(params=FAST))
    best = int(np.argmin(model.curve)) + 1
    assert model.rounds == best
    assert len(model.curve) == best + max(30, round(0.3 * best + 20)) + 1


def test_rounds_are_exact_also_with_valid_rows():
    model = LightGBMLearner().fit(make_table(BINARY).job(params=FAST, rounds=80))
    assert (model.rounds, len(model.curve)) == (80, 80)
    assert int(np.argmin(model.curve)) + 1 < 80


@pytest.mark.parametrize(("rows", "most"), [(100, 300), (10_000, 300), (50_000, 60), (1_000_000, 30)])
def test_patience_is_shorter_for_many_rows(rows, most):
    assert most_patience(rows) == most


def test_time_is_kept_within_a_round():
    table = make_table(BINARY, rows=20_000)
    job = table.job(params={"learning_rate": 0.005, "num_leaves": 255, "min_data_in_leaf": 1}, seconds=1.0)
    started = time.monotonic()
    model = LightGBMLearner().fit(job)
    assert time.monotonic() - started < 30
    assert 1 <= model.rounds < 10_000


@pytest.mark.parametrize("task", [BINARY, REGRESSION])
def test_resumed_model_is_the_one_fitted_at_once(task):
    job = make_table(task).job(params=FAST, train=np.arange(400), valid=None)
    learner, values = LightGBMLearner(), job.data.values
    half = learner.fit(replace(job, rounds=30)).cut(10)
    both = learner.resume(half, replace(job, rounds=15))
    assert both.rounds == 25
    assert np.allclose(both.predict(values), learner.fit(replace(job, rounds=25)).predict(values), atol=1e-5)


def test_resume_watches_valid_rows():
    table = make_table(BINARY)
    learner = LightGBMLearner()
    first = learner.fit(table.job(params=FAST, valid=None, rounds=2))
    more = learner.resume(first, table.job(params=FAST))
    assert 2 < more.rounds < 200
    assert more.curve == ()


def test_resume_refuses_a_model_of_other_classes():
    learner = LightGBMLearner()
    model = learner.fit(make_table(BINARY).job(params=FAST))
    with pytest.raises(ValueError, match="no LightGBM model of 0 classes"):
        learner.resume(model, make_table(REGRESSION).job(params=FAST))


def test_same_parameters_as_the_library_give_its_predictions():
    table = make_table(BINARY)
    categorical = [i for i, column in enumerate(table.data.columns) if column.categorical]
    dataset = lgb.Dataset(
        table.data.values, table.data.target, categorical_feature=categorical, params={"feature_pre_filter": False}
    )
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 0, "deterministic": True, **FAST}
    params |= {"bagging_freq": 1, "force_col_wise": True}
    bare = lgb.train(params, dataset, 20)
    model = LightGBMLearner().fit(table.job(params=FAST, train=np.arange(400), valid=None, rounds=20))
    assert np.allclose(model.predict(table.data.values)[:, 1], bare.predict(table.data.values), atol=1e-12)


def test_rate_grows_with_rows():
    rates = [learning_rate(task, rows) for task in (BINARY, REGRESSION) for rows in (200, 5000, 100_000)]
    assert rates == pytest.approx([0.0237, 0.0525, 0.1, 0.0389, 0.0644, 0.1], abs=1e-3)


def test_few_leaves_come_first_on_few_rows():
    def early(rows):
        return [c.params["num_leaves"] for c in make_portfolio(BINARY, rows) if c.rank >= 10][:4]

    assert max(early(500)) <= 20
    assert max(early(50_000)) > 20


def test_portfolio_starts_with_an_anchor_and_keeps_slow_rates_for_long_runs():
    found = make_portfolio(BINARY, 20_000)
    assert found[0].rank < 10 < found[1].rank
    slow = [c for c in found if c.rank > 100]
    assert slow
    assert all(c.params["learning_rate"] < learning_rate(BINARY, 20_000) for c in slow)


def test_settings():
    assert build(Context("lightgbm", {"device": "cpu"})).device == "cpu"
    with pytest.raises(SettingsError, match=r"plugins\.lightgbm\.device"):
        build(Context("lightgbm", {"device": "abacus"}))
