"""A quantile as the metric: predictions are that quantile, by learners that can learn one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_pinball_loss

from automl import AutoML
from automl.metrics import resolve_metric
from automl_core import AutoMLError, SettingsError
from automl_core.settings import load_settings

RNG = np.random.default_rng(0)
X = RNG.uniform(0, 2, (1200, 2))
Y = X[:, 0] + RNG.exponential(0.2 + X[:, 1])  # skewed, and wider as the second input grows


def engine(metric: str, *learners: str, **options) -> AutoML:
    settings = load_settings(learners=learners, storage="memory", executor="serial", search="random", trackers=())
    return AutoML(settings=settings, metric=metric, time_limit=None, max_trials=2, n_jobs=1, folds=2, **options)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_the_metric_equals_scikit_learns(level):
    guess, weight = X[:, 0], X[:, 1]
    found = resolve_metric(f"pinball:{level}", "regression").loss(Y, guess, weight)
    assert found == pytest.approx(mean_pinball_loss(Y, guess, alpha=level, sample_weight=weight))


@pytest.mark.parametrize("learner", ["lightgbm", "xgboost", "catboost", "sklearn.hist_gradient_boosting"])
def test_predictions_are_the_quantile(learner):
    model = engine("pinball:0.9", learner, task="regression").fit(X[:800], Y[:800])
    said = model.predict(X[800:])
    assert 0.8 < np.mean(Y[800:] <= said) < 0.97
    wide, narrow = said[X[800:, 1] > 1.5].mean(), said[X[800:, 1] < 0.5].mean()
    assert wide - narrow > 1  # 2.3 times the exponential's scale, which is greater by 1.5


def test_learners_of_means_are_left_out(tmp_path):
    model = engine("pinball:0.9", "sklearn.linear", "sklearn.extra_trees", "lightgbm").fit(X, Y)
    assert {row["learner"] for row in model.leaderboard()} == {"ensemble", "lightgbm"}
    assert model.model_.metric == "pinball:0.9"
    model.report(tmp_path / "report.html")
    assert "pinball:0.9" in (tmp_path / "report.html").read_text()


def test_learners_of_means_alone_are_refused():
    with pytest.raises(AutoMLError, match=r"sklearn\.linear can learn a quantile"):
        engine("pinball:0.5", "sklearn.linear").fit(X, Y)


@pytest.mark.parametrize("metric", ["pinball", "pinball:", "pinball:1", "pinball:-0.1", "pinball:nan", "pinball:high"])
def test_a_metric_without_a_quantile_is_refused(metric):
    with pytest.raises(SettingsError, match=r"from 0\.001 to 0\.999"):
        resolve_metric(metric, "regression")


def test_classes_have_no_quantiles():
    with pytest.raises(SettingsError, match="none for binary"):
        resolve_metric("pinball:0.9", "binary")


def test_a_champion_that_predicts_a_quantile_is_judged_by_its_loss():
    from automl.retrain.gate import compare

    high, mean = (engine(metric, "lightgbm").fit(X[:800], Y[:800]).model_ for metric in ("pinball:0.9", "rmse"))
    found = compare(high, mean, X[800:], Y[800:])
    assert found.metric == "pinball:0.9"
    assert found.gain < 0 < found.worse_by
