from __future__ import annotations

import numpy as np
import pytest

from automl.metrics import METRICS
from automl.study.calibration import apply_temperature, choose_temperature, choose_threshold
from automl.study.ensemble import choose_weights

RNG = np.random.default_rng(0)
ROWS = 4000
SIGNAL = RNG.normal(size=ROWS)
TARGET = (RNG.uniform(size=ROWS) < 1 / (1 + np.exp(-2 * SIGNAL))).astype(float)


def guess(noise: float, seed: int, sharpness: float = 2.0) -> np.ndarray:
    z = sharpness * (SIGNAL + np.random.default_rng(seed).normal(0, noise, ROWS))
    p = 1 / (1 + np.exp(-z))
    return np.column_stack([1 - p, p])


def test_members_with_independent_errors_share_the_weight():
    found = choose_weights([guess(0.7, 1), guess(0.7, 2), guess(0.7, 3)], TARGET, METRICS["roc_auc"])
    assert (found.weights > 0.2).all()
    assert found.weights.sum() == pytest.approx(1)


def test_noise_gets_no_weight():
    found = choose_weights([guess(0.3, 1), guess(0.3, 2), guess(50, 3)], TARGET, METRICS["log_loss"])
    assert found.weights[2] < 0.02


def test_a_copy_is_dropped():
    first = guess(0.5, 1)
    found = choose_weights([first, first.copy(), guess(0.6, 2)], TARGET, METRICS["roc_auc"])
    assert (found.weights == 0).sum() >= 1


def test_many_trials_of_one_learner_do_not_push_out_the_others():
    shared = SIGNAL + np.random.default_rng(1).normal(0, 0.5, ROWS)
    positive = [1 / (1 + np.exp(-2 * (shared + np.random.default_rng(s).normal(0, 0.1, ROWS)))) for s in range(30)]
    many = [np.column_stack([1 - p, p]) for p in positive]
    others = [guess(0.6, 100), guess(0.6, 101)]
    found = choose_weights(
        [*many, *others], TARGET, METRICS["log_loss"], kinds=["boosting"] * 30 + ["forest", "linear"]
    )
    assert (found.weights[-2:] > 0.1).all()
    assert not choose_weights([*many, *others], TARGET, METRICS["log_loss"]).weights[-2:].any()


def test_the_nested_score_is_reported_for_every_method():
    found = choose_weights([guess(0.5, s) for s in range(4)], TARGET, METRICS["log_loss"])
    assert set(found.compared) == {"single", "mean", "simplex", "greedy"}
    assert found.nested == pytest.approx(found.loss, rel=0.1)


def test_regression_weights_cancel_errors():
    truth = RNG.normal(size=ROWS)
    members = [truth + np.random.default_rng(s).normal(0, 1, ROWS) for s in range(3)]
    found = choose_weights(members, truth, METRICS["rmse"])
    assert found.loss < 0.65


def test_one_member_is_taken_as_it_is():
    assert choose_weights([guess(0.5, 1)], TARGET, METRICS["roc_auc"]).weights.tolist() == [1.0]


def test_rows_too_few_to_compare_methods_are_weighed_as_usual():
    rng = np.random.default_rng(0)
    stack = [np.stack([1 - p, p], axis=1) for p in rng.uniform(size=(2, 4))]
    ensemble = choose_weights(stack, np.array([0.0, 1.0, 0.0, 1.0]), METRICS["mcc"], seed=0)
    assert ensemble.weights.sum() == pytest.approx(1.0)
    assert ensemble.method == "greedy"


def test_a_member_that_is_not_finite_gets_nothing():
    broken = guess(0.5, 1) * np.nan
    assert choose_weights([broken, guess(0.5, 2)], TARGET, METRICS["log_loss"]).weights.tolist() == [0.0, 1.0]


def test_overconfident_probabilities_are_cooled():
    said = guess(0.5, 1, sharpness=6)
    temperature = choose_temperature(TARGET, said, None)
    assert temperature > 1.5
    assert METRICS["log_loss"].loss(TARGET, apply_temperature(said, temperature)) < METRICS["log_loss"].loss(
        TARGET, said
    )


def test_calibrated_probabilities_are_left_alone():
    assert choose_temperature(TARGET, guess(0.0, 1), None) == 1.0


def test_a_rare_class_lowers_the_threshold_for_f1():
    rare = TARGET * (RNG.uniform(size=ROWS) < 0.15)
    p = 0.15 / (1 + np.exp(-2 * SIGNAL))
    assert choose_threshold(rare, np.column_stack([1 - p, p]), METRICS["f1"], None) < 0.3
