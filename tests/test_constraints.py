"""Monotone columns, intervals and warm starts, through the public interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from automl import AutoML, load_model
from automl.estimators import AutoMLClassifier
from automl_core import DataError
from automl_core.settings import load_settings


def fit(directory: Any, data: Any, y: Any, **options: Any) -> AutoML:
    settings = load_settings(directory=str(directory), learners=options.pop("learners", ("lightgbm",)))
    return AutoML(time_limit=None, n_jobs=1, settings=settings, **{"max_trials": 3, "folds": 3, **options}).fit(data, y)


def wavy(rows: int, seed: int = 0) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-3, 3, rows), rng.normal(size=rows)
    return {"x": x, "z": z, "kind": rng.choice(["a", "b"], rows)}, x + 2 * np.sin(4 * x) + z + rng.normal(size=rows)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_predictions_follow_a_monotone_column(tmp_path, task: str, sign: int) -> None:
    data, y = wavy(600)
    learners = ("lightgbm", "xgboost", "catboost", "sklearn.hist_gradient_boosting")
    target = y if task == "regression" else y > 0
    automl = fit(tmp_path, data, target, monotone={"x": sign}, learners=learners, max_trials=6)
    line = np.linspace(-3, 3, 200)
    for z, kind in ((-1.0, "a"), (0.5, "b")):
        rows = {"x": line, "z": np.full(200, z), "kind": [kind] * 200}
        said = automl.predict(rows) if task == "regression" else automl.predict_proba(rows)[:, 1]
        assert (sign * np.diff(said) >= -1e-9).all()


@pytest.mark.parametrize("metric", ["mae", "pinball:0.9"])
def test_medians_and_quantiles_follow_a_monotone_column(tmp_path, metric: str) -> None:
    data, y = wavy(600)
    learners = ("lightgbm", "xgboost", "catboost", "sklearn.hist_gradient_boosting")
    automl = fit(tmp_path, data, y, monotone={"x": 1}, learners=learners, metric=metric, max_trials=4)
    said = automl.predict({"x": np.linspace(-3, 3, 200), "z": np.zeros(200), "kind": ["a"] * 200})
    assert said[-1] > said[0]
    assert (np.diff(said) >= -1e-9).all()
    refused = {row["learner"] for row in automl.leaderboard() if row["state"] == "failed"}
    assert bool(refused) == (metric != "mae")
    assert "catboost" not in refused


def test_a_student_keeps_what_was_promised_of_its_teacher(tmp_path) -> None:
    data, y = wavy(300)
    teacher = fit(tmp_path / "teacher", data, y, monotone={"x": 1}, max_trials=1)
    settings = load_settings(directory=str(tmp_path / "student"), learners=("lightgbm",))
    student = teacher.model_.distill(data, y, time_limit=None, max_trials=1, n_jobs=1, folds=2, settings=settings)
    assert student.model_.info["origin"]["arguments"]["monotone"] == {"x": 1}
    said = student.predict({"x": np.linspace(-3, 3, 200), "z": np.zeros(200), "kind": ["a"] * 200})
    assert (np.diff(said) >= -1e-9).all()


def test_rows_of_weight_zero_are_as_good_as_absent(tmp_path) -> None:
    data, y = wavy(60)
    weight = np.where(np.arange(60) < 20, 0.0, np.random.default_rng(0).uniform(0.5, 2, 60))
    weighed = AutoML(time_limit=None, n_jobs=1, max_trials=3, settings=load_settings(directory=str(tmp_path / "zero")))
    absent = weighed.like(settings=load_settings(directory=str(tmp_path / "absent")))
    weighed.fit(data, y, sample_weight=weight)
    absent.fit({name: column[20:] for name, column in data.items()}, y[20:], sample_weight=weight[20:])
    assert (weighed.predict(data) == absent.predict(data)).all()


def test_a_class_of_rows_of_weight_zero_is_none(tmp_path) -> None:
    data, _ = wavy(90)
    settings = load_settings(directory=str(tmp_path), learners=("lightgbm",))
    engine = AutoMLClassifier(time_limit=None, max_trials=1, folds=2, settings=settings)
    engine.fit(np.column_stack([data["x"], data["z"]]), np.arange(90) % 3, sample_weight=np.array([1.0, 2.0, 0.0] * 30))
    assert engine.classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"groups": np.zeros(60)}, "all rows are of one group"),
        ({"time": np.array([1, None] * 30, dtype=object)}, "time: 30 rows have none"),
        ({"time": np.array(["2020-01-01", "NaT"] * 30, dtype="datetime64[D]")}, "time: 30 rows have none"),
        ({"time": np.array([np.nan] + [1.0] * 59)}, "time: 1 rows have none"),
        ({"time": np.array([1, "a"] * 30, dtype=object)}, "cannot be put in an order"),
    ],
)
def test_groups_and_times_that_tell_nothing_are_refused(tmp_path, given: dict[str, Any], words: str) -> None:
    data, y = wavy(60)
    with pytest.raises(DataError, match=words):
        AutoML(max_trials=1, settings=load_settings(directory=str(tmp_path))).fit(data, y, **given)


def test_no_more_folds_than_rows_in_time(tmp_path) -> None:
    data, y = wavy(8)
    settings = load_settings(directory=str(tmp_path), learners=("lightgbm",))
    engine = AutoML(time_limit=None, max_trials=1, folds=20, settings=settings).fit(data, y, time=np.arange(8))
    assert [row["state"] for row in engine.leaderboard() if row["learner"] == "lightgbm"] == ["complete"]
    assert engine.outcome_.plan.folds == 3


@pytest.mark.parametrize(("weight", "words"), [(0.0, "zero in every row"), (-1.0, "not negative"), ("much", "numbers")])
def test_weights_that_mean_nothing_are_refused(tmp_path, weight: Any, words: str) -> None:
    data, y = wavy(60)
    with pytest.raises(DataError, match=words):
        AutoML(max_trials=1, settings=load_settings(directory=str(tmp_path))).fit(data, y, sample_weight=[weight] * 60)


@pytest.mark.parametrize(
    ("monotone", "words"),
    [
        ({"y": 1}, "no column 'y'"), ({"x": 2}, r"monotone\['x'\] is 2"), ({"kind": 1}, "'kind' holds no numbers"),
    ],
)  # fmt: skip
def test_impossible_constraint_is_refused(tmp_path, monotone: Mapping[str, int], words: str) -> None:
    with pytest.raises(DataError, match=words):
        fit(tmp_path, *wavy(100), monotone=monotone)


def test_monotone_columns_of_many_classes_are_refused(tmp_path) -> None:
    data, y = wavy(100)
    with pytest.raises(DataError, match="two classes"):
        fit(tmp_path, data, np.digitize(y, [-1, 1]).astype(str), monotone={"x": 1})


def test_intervals_cover_as_asked_and_are_wider_where_errors_are(tmp_path) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 5, 5000)
    y = 3 * x + x * rng.normal(size=5000)
    automl = fit(tmp_path, {"x": x[:2500]}, y[:2500])
    automl.save(tmp_path / "model.automl")
    model = load_model(tmp_path / "model.automl")
    for coverage in (0.5, 0.9):
        ends = model.predict_interval({"x": x[2500:]}, coverage=coverage)
        assert ends.shape == (2500, 2)
        assert np.mean((ends[:, 0] <= y[2500:]) & (y[2500:] <= ends[:, 1])) == pytest.approx(coverage, abs=0.04)
    width = np.diff(automl.predict_interval({"x": [1.2, 4.8]}))[:, 0]
    assert width[1] > 2 * width[0]


def test_interval_of_predictions_that_are_mostly_equal_is_finite(tmp_path) -> None:
    rng = np.random.default_rng(0)
    flag = rng.random(1000) < 0.03
    automl = fit(tmp_path, {"flag": flag.astype(float)}, 5.0 * flag + rng.normal(size=1000))
    assert np.isfinite(automl.predict_interval({"flag": [0.0, 1.0]})).all()


def test_interval_that_cannot_be_told_is_refused(tmp_path) -> None:
    data, y = wavy(150)
    automl = fit(tmp_path, data, y)
    with pytest.raises(DataError, match="between 0 and 1"):
        automl.predict_interval(data, coverage=1.0)
    with pytest.raises(DataError, match=r"needs 1999 rows.* ask for at most 0\.986,"):
        automl.predict_interval(data, coverage=0.999)
    assert np.isfinite(automl.predict_interval(data, coverage=0.986)).all()
    with pytest.raises(DataError, match="predict_proba"):
        fit(tmp_path, data, y > 0).predict_interval(data)


def test_warm_start_fits_the_earlier_members_first(tmp_path) -> None:
    data, y = wavy(400)
    earlier = fit(tmp_path, {name: column[:200] for name, column in data.items()}, y[:200], max_trials=6)
    members = [row for row in earlier.leaderboard()[1:] if row["weight"]]
    later = AutoML(time_limit=None, max_trials=len(members), folds=3, n_jobs=1, settings=earlier.settings)
    later.fit(data, y, warm_start=earlier.model_)
    wanted = sorted((row["learner"], row["view"], sorted(row["params"].items())) for row in members)
    assert sorted((r["learner"], r["view"], sorted(r["params"].items())) for r in later.leaderboard()[1:]) == wanted
    with pytest.raises(DataError, match="warm_start is a model of a regression task"):
        later.fit(data, y > 0, warm_start=earlier)
