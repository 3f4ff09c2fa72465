"""The scikit-learn estimators pass scikit-learn's own checks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from automl import AutoMLClassifier, AutoMLRegressor
from automl_core.settings import load_settings

SETTINGS = load_settings(
    learners=("sklearn.linear", "sklearn.extra_trees"), storage="memory", executor="serial", search="random"
)
OPTIONS = {"time_limit": None, "max_trials": 2, "n_jobs": 1, "folds": 2, "settings": SETTINGS}
WEIGHTS = "folds are drawn by row, so a row of weight 2 and the same row twice are split differently"
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weights_invariance": WEIGHTS,
}


@pytest.mark.filterwarnings("ignore")  # of scikit-learn, about its own checks
@parametrize_with_checks(
    [AutoMLClassifier(**OPTIONS), AutoMLRegressor(**OPTIONS)], expected_failed_checks=lambda estimator: EXPECTED
)
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


def test_a_classifier_keeps_its_labels_and_names():
    import pandas as pd

    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=200), "colour": rng.choice(["red", "blue"], 200)})
    labels = np.where(frame["size"] + (frame["colour"] == "red") > 0.5, "yes", "no")
    model = AutoMLClassifier(**OPTIONS).fit(frame, labels)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.feature_names_in_.tolist() == ["size", "colour"]
    assert (model.predict(frame) == labels).mean() > 0.8


def test_a_regressor_says_how_sure_it_is():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X[:, 0] + rng.normal(scale=0.3, size=300)
    ends = AutoMLRegressor(**OPTIONS).fit(X, y).predict_interval(X, coverage=0.8)
    assert ends.shape == (300, 2)
    assert 0.65 < ((ends[:, 0] <= y) & (y <= ends[:, 1])).mean() < 0.98
