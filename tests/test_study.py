"""The study over real executors and storages, with learners that go wrong on purpose."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl.study import loop
from automl_core import AutoMLError, hookimpl
from automl_core.settings import load_settings


def fit(table, tmp_path, learners, *, executor="threads", listeners=(), **options):
    settings = load_settings(
        executor=executor, search="random", learners=learners, directory=str(tmp_path / "automl"), trackers=()
    )
    options = {"time_limit": None, "max_trials": 4, "n_jobs": 2, **options}
    return AutoML(settings=settings, listeners=listeners, **options).fit(*table)


def states(engine):
    return {row["learner"]: (row["state"], row["error"]) for row in engine.leaderboard()}


def test_a_learner_from_outside_shows_up_in_the_leaderboard(table, tmp_path, odd_learners):
    engine = fit(table, tmp_path, ("odd.works",))
    assert states(engine)["odd.works"][0] == "complete"
    assert engine.score(*table) > 0.9


@pytest.mark.parametrize(
    ("learner", "reason"), [("odd.crashes", "RuntimeError: out of luck"), ("odd.nan", "not all finite")]
)
def test_a_learner_that_goes_wrong_is_a_failed_trial_with_its_reason(table, tmp_path, odd_learners, learner, reason):
    engine = fit(table, tmp_path, (learner, "odd.works"))
    assert states(engine)[learner][0] == "failed"
    assert reason in states(engine)[learner][1]
    assert states(engine)["odd.works"][0] == "complete"


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_learner_that_exits_the_process_ends_its_trial_alone(table, tmp_path, odd_learners, executor):
    engine = fit(table, tmp_path, ("odd.exits", "odd.works"), executor=executor)
    assert states(engine)["odd.exits"][0] == "failed"
    assert engine.score(*table) > 0.9


def test_a_learner_that_hangs_does_not_hold_the_study(table, tmp_path, odd_learners):
    started = time.monotonic()
    engine = fit(table, tmp_path, ("odd.works", "odd.hangs"), time_limit=6.0, max_trials=None)
    assert time.monotonic() - started < 20
    assert engine.score(*table) > 0.9


@pytest.mark.parametrize(
    ("microseconds", "models"), [(None, 4), (24.0, 2), (13.0, 1), (0.1, 1)]
)  # 12 of them before and after trees
def test_a_limit_of_prediction_time_thins_the_folds_models(table, tmp_path, caplog, microseconds, models):
    options = {"max_trials": 1, "folds": 4, "predict_time_limit": microseconds}
    engine = fit(table, tmp_path, ("sklearn.extra_trees",), **options)
    assert len(engine.outcome_.shipment.parts) == models
    assert ("no model that was fitted is fast enough" in caplog.text) == (models == 1)
    assert engine.score(*table) > 0.9


def test_a_limit_of_prediction_time_leaves_out_what_is_too_slow(table, tmp_path):
    options = {"max_trials": 2, "folds": 2, "predict_time_limit": 1.0}
    engine = fit(table, tmp_path, ("sklearn.extra_trees", "sklearn.linear"), **options)
    shares = {row["learner"]: row["weight"] for row in engine.leaderboard()}
    assert shares == {"ensemble": 1.0, "sklearn.linear": 1.0, "sklearn.extra_trees": 0.0}


def test_a_hung_fit_that_holds_the_only_place_does_not_keep_a_model_from_being_cut(table, tmp_path, odd_learners):
    options = {"max_trials": None, "n_jobs": 1, "executor": "threads", "predict_time_limit": 12.5}
    started = time.monotonic()
    engine = fit(table, tmp_path, ("lightgbm", "odd.hangs"), time_limit=6.0, **options)
    assert time.monotonic() - started < 20
    (shipped,) = [row for row in engine.leaderboard() if row["weight"] == 1.0 and row["learner"] != "ensemble"]
    assert 0 < shipped["rounds"] < 40
    assert engine.score(*table) > 0.8


def test_nothing_that_works_still_gives_an_answer_and_says_why_it_is_none(table, tmp_path, caplog, odd_learners):
    engine = fit(table, tmp_path, ("odd.crashes",), max_trials=1)
    assert "no model was fitted, so that every row is predicted the same: RuntimeError: out of luck" in caplog.text
    assert engine.model_.info["warnings"][0] in caplog.text
    share = np.mean(table[1])
    assert engine.predict_proba(table[0][:3])[:, 1] == pytest.approx(share)


def test_the_same_seed_and_trials_give_the_same_model_on_every_executor(table, tmp_path, odd_learners):
    said = {}
    for executor in ("serial", "threads", "processes"):
        engine = fit(table, tmp_path / executor, ("odd.works",), executor=executor, max_trials=8)
        said[executor] = ([(row["name"], row["score"]) for row in engine.leaderboard()], engine.predict_proba(table[0]))
    assert said["serial"][0] == said["threads"][0] == said["processes"][0]
    assert (said["serial"][1] == said["processes"][1]).all()


def test_what_is_derived_does_not_depend_on_which_part_is_faster(tmp_path, monkeypatch):
    table = load_breast_cancer(return_X_y=True)
    fit_part, delay, ended = loop.fit_part, 0.0, []

    def fit_late(shared, order):
        if (order.trial, order.part) == (0, 0):
            time.sleep(delay)
        try:
            return fit_part(shared, order)
        finally:
            ended.append((order.trial, order.part))

    monkeypatch.setattr(loop, "fit_part", fit_late)
    told = []
    for delay in (0.0, 4.0):
        ended.clear()
        engine = fit(table, tmp_path / str(delay), ("lightgbm", "sklearn.linear"), folds=2, max_trials=5)
        told.append([(row["name"], row["view"], row["score"]) for row in engine.leaderboard()])
    assert ended.index((0, 0)) > ended.index((1, 1))
    assert "derived" in {view for _, view, _ in told[0]}
    assert told[0] == told[1]


def test_events_come_in_order(table, tmp_path, odd_learners):
    class Witness:
        def __init__(self):
            self.seen = []

        @hookimpl
        def automl_study_started(self, study):
            self.seen.append("started")

        @hookimpl
        def automl_trial_finished(self, trial):
            self.seen.append(trial.id)

        @hookimpl
        def automl_study_finished(self, error):
            self.seen.append(error)

    witness = Witness()
    fit(table, tmp_path, ("odd.works",), listeners=[witness], max_trials=2)
    assert witness.seen == ["started", 0, 1, None]


def test_an_interrupt_keeps_what_is_fitted(table, tmp_path, odd_learners):
    class Impatient:
        @hookimpl
        def automl_trial_finished(self, trial):
            if trial.id == 2:
                raise KeyboardInterrupt

    engine = fit(table, tmp_path, ("odd.works",), listeners=[Impatient()], max_trials=50)
    assert engine.outcome_.interrupted
    assert engine.score(*table) > 0.9


def test_no_learner_for_the_task_is_said(table, tmp_path, odd_learners):
    X, _ = table
    y = np.arange(400) % 3
    with pytest.raises(AutoMLError, match="multiclass"):
        fit((X, y), tmp_path, ("odd.works",))


def test_a_finished_study_leaves_no_journal_behind(table, tmp_path, odd_learners):
    fit(table, tmp_path, ("odd.works",))
    assert not [path for path in (tmp_path / "automl").rglob("*") if path.is_file()]


@pytest.mark.parametrize("rows", [300, 3000])
def test_a_limit_that_is_over_with_the_first_fit_still_gives_a_model(rows):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3))
    found = AutoML(time_limit=0.05).fit(X, 5 * X[:, 0] + rng.normal(size=rows))
    # On a busy machine a few rounds only, but of a model, not of the mean.
    assert found.score(X, 5 * X[:, 0]) < 0.99 * np.std(5 * X[:, 0])


def test_a_first_fit_that_takes_most_of_the_limit_still_gives_a_model(table, tmp_path, odd_learners):
    engine = fit(table, tmp_path, ("odd.slow",), time_limit=5.0, max_trials=None)
    assert engine.score(*table) > 0.9


@pytest.mark.parametrize("limits", [{"time_limit": None, "max_trials": 4}, {"time_limit": 8.0}])
def test_fast_ships_one_model_of_each_member(limits):
    X = np.random.default_rng(0).normal(size=(1500, 5))
    found = AutoML(quality="fast", folds=3, n_jobs=2, **limits).fit(X, X[:, 0] * X[:, 1] + X[:, 2])
    shipped = found.model_.predictor
    members = [row for row in found.leaderboard()[1:] if row["weight"]]
    assert len(shipped.parts) + len(shipped.opaque) == len(members)
