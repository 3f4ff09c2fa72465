"""Fits of several targets: time is shared, targets do not see each other, and each is told of as one alone."""

from __future__ import annotations

import numpy as np
import pytest

from automl import AutoML, Model, MultiModel
from automl_core import DataError, SettingsError, hookimpl

TARGETS = ["price", "sold", "rooms"]


def test_each_target_has_a_model_of_its_own_task(fitted):
    assert {name: model.task for name, model in fitted.model_.models.items()} == {
        "price": "regression", "sold": "binary", "rooms": "multiclass",
    }  # fmt: skip


def test_no_model_reads_another_target(fitted):
    assert {model.names for model in fitted.model_.models.values()} == {("size", "age")}


def test_mixed_targets_are_predicted_as_an_object_array_of_their_own_types(fitted, table):
    said = fitted.predict({name: table[name][:3] for name in ("size", "age")})
    assert (said.shape, said.dtype) == ((3, 3), object)
    assert [type(value) for value in said[0]] == [float, str, int]


def test_one_row_is_one_row(fitted):
    assert fitted.predict({"size": 1.0, "age": 0.5}).shape == (1, 3)


def test_numbers_are_predicted_as_an_array_of_numbers(make_engine, table):
    said = make_engine().fit(table, target=["price", "rooms"]).predict(table)
    assert (said.shape, said.dtype) == ((240, 2), np.float64)


def test_probabilities_and_intervals_come_by_target(fitted, table):
    chances = fitted.predict_proba(table)
    assert {name: part.shape for name, part in chances.items()} == {"sold": (240, 2), "rooms": (240, 3)}
    ends = fitted.predict_interval(table, coverage=0.8)["price"]
    assert 0.7 < np.mean((ends[:, 0] <= table["price"]) & (table["price"] <= ends[:, 1])) < 0.9


def test_scores_come_by_target_in_the_metric_of_each(fitted, table):
    scores = fitted.score(table)
    assert scores["price"] < 0.2  # RMSE
    assert scores["sold"] > 0.9  # ROC AUC
    assert scores["rooms"] < 0.6  # log loss


def test_the_leaderboard_tells_the_target_and_its_metric(fitted):
    board = fitted.leaderboard()
    assert list(dict.fromkeys((row["target"], row["metric"]) for row in board)) == [
        ("price", "rmse"), ("sold", "roc_auc"), ("rooms", "log_loss"),
    ]  # fmt: skip
    assert str(board).split()[:4] == ["target", "metric", "rank", "name"]


def test_importance_comes_by_target(fitted):
    importance = fitted.feature_importance()
    assert max(importance["price"], key=importance["price"].get) == "size"
    assert max(importance["sold"], key=importance["sold"].get) == "age"


def test_a_wide_y_gives_a_target_for_each_column(make_engine, table):
    X, Y = np.column_stack([table["size"], table["age"]]), np.column_stack([table["price"], -table["price"]])
    engine = make_engine().fit(X, Y)
    assert engine.model_.targets == ("target0", "target1")
    assert engine.predict(X) == pytest.approx(Y, abs=0.6)
    assert engine.score(X, Y)["target1"] < 0.2


def test_rows_without_one_target_still_teach_the_others(make_engine, table):
    holes = table | {"price": np.where(np.arange(240) < 100, np.nan, table["price"])}
    model = make_engine().fit(holes, target=["price", "sold"]).model_
    assert [one.info["rows"] for one in model.models.values()] == [140, 240]


def test_metric_and_task_may_differ_by_target(make_engine, table):
    engine = make_engine(metric={"price": "mae", "sold": "log_loss"}, task={"rooms": "regression"})
    models = engine.fit(table, target=TARGETS).model_.models
    assert [(one.task, one.metric) for one in models.values()] == [
        ("regression", "mae"), ("binary", "log_loss"), ("regression", "rmse"),
    ]  # fmt: skip


def test_the_time_limit_is_shared_by_all_targets(make_engine, table):
    limits = []

    class Witness:
        @hookimpl
        def automl_study_started(self, study):
            limits.append(study.time_limit)

    make_engine(time_limit=90.0, max_trials=1, listeners=[Witness()]).fit(table, target=["price", "sold", "rooms"])
    assert limits[0] <= 30
    assert limits[0] < limits[1] < limits[2] <= 90  # what one leaves goes to the next


def test_an_interrupt_keeps_the_targets_that_are_fitted(make_engine, table, caplog):
    class Impatient:
        @hookimpl
        def automl_trial_finished(self, trial):
            raise KeyboardInterrupt

    engine = make_engine(listeners=[Impatient()]).fit(table, target=["price", "sold"])
    assert engine.model_.targets == ("price",)
    assert "there is no model of 'sold'" in caplog.text


def test_a_fit_of_one_target_follows_one_of_several(make_engine, table):
    engine = make_engine().fit(table, target=["price", "sold"])
    engine.fit({name: table[name] for name in ("size", "age", "price")}, target="price")
    assert isinstance(engine.model_, Model)
    assert engine.score(table) < 0.2


def test_earlier_models_start_the_search_of_their_targets(make_engine, table, fitted):
    engine = make_engine("sklearn.linear", "sklearn.extra_trees").fit(table, target=TARGETS, warm_start=fitted)
    assert {row["learner"] for row in engine.leaderboard()} == {"ensemble", "sklearn.linear"}


def test_the_model_tells_how_all_targets_were_asked_for(fitted):
    info = fitted.model_.models["sold"].info
    assert info["targets"] == TARGETS
    assert "task" not in info["origin"]["arguments"]


@pytest.mark.parametrize(
    ("target", "options", "error", "said"),
    [
        (["price", "prize"], {}, DataError, "no column 'prize'.* Did you mean 'price'"),
        (["price", "price"], {}, DataError, "twice"),
        ([], {}, DataError, "at least one"),
        (["price", "sold"], {"metric": {"prise": "mae"}}, SettingsError, "no target.* Did you mean 'price'"),
        (["price", "sold"], {"metric": "rmse"}, SettingsError, "none for binary"),
        ("price", {"metric": {"price": "mae"}}, SettingsError, "list of targets"),
    ],
    ids=["unknown", "twice", "none", "metric of no target", "metric of one target only", "metric by target of one"],
)
def test_what_cannot_be_fitted_is_said_before_any_fit(make_engine, table, target, options, error, said):
    class Witness:
        @hookimpl
        def automl_study_started(self, study):
            raise AssertionError("a study was started")

    with pytest.raises(error, match=said):
        make_engine(**options, listeners=[Witness()]).fit(table, target=target)


def test_probabilities_of_numbers_alone_are_refused(make_engine, table):
    engine = make_engine().fit(table | {"twice": 2 * table["price"]}, target=["price", "twice"])
    with pytest.raises(DataError, match="'price', 'twice' are numbers"):
        engine.predict_proba(table)


def test_models_of_nothing_are_refused():
    with pytest.raises(DataError, match="at least one target"):
        MultiModel({})


def test_an_engine_alike_has_the_same_arguments():
    engine = AutoML(time_limit=3, seed=7, folds=4).like(seed=8)
    assert (engine.time_limit, engine.seed, engine.folds) == (3, 8, 4)
