from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from automl.metrics import METRICS, resolve_metric
from automl_core import SettingsError

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 2, 500).astype(float)
P1 = np.round(np.clip(TRUTH * 0.3 + RNG.uniform(0, 0.7, 500), 0.01, 0.99), 2)  # rounded, so that there are ties
BINARY = np.column_stack([1 - P1, P1])
CLASSES = RNG.integers(0, 4, 500).astype(float)
MULTI = RNG.dirichlet(np.ones(4), 500)
NUMBER = RNG.normal(3, 1, 500)
GUESS = NUMBER + RNG.normal(0, 0.5, 500)
WEIGHT = RNG.uniform(0, 2, 500)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("name", "truth", "said", "expected"),
    [
        ("roc_auc", TRUTH, BINARY, lambda w: reference.roc_auc_score(TRUTH, P1, sample_weight=w)),
        ("log_loss", TRUTH, BINARY, lambda w: reference.log_loss(TRUTH, BINARY, sample_weight=w)),
        ("log_loss", CLASSES, MULTI, lambda w: reference.log_loss(CLASSES, MULTI, sample_weight=w)),
        ("brier", TRUTH, BINARY, lambda w: reference.brier_score_loss(TRUTH, P1, sample_weight=w)),
        ("accuracy", CLASSES, MULTI, lambda w: reference.accuracy_score(CLASSES, MULTI.argmax(1), sample_weight=w)),
        ("balanced_accuracy", CLASSES, MULTI, lambda w: reference.balanced_accuracy_score(CLASSES, MULTI.argmax(1), sample_weight=w)),
        ("f1", TRUTH, BINARY, lambda w: reference.f1_score(TRUTH, BINARY.argmax(1), sample_weight=w)),
        ("f1_macro", CLASSES, MULTI, lambda w: reference.f1_score(CLASSES, MULTI.argmax(1), average="macro", sample_weight=w)),
        ("mcc", CLASSES, MULTI, lambda w: reference.matthews_corrcoef(CLASSES, MULTI.argmax(1), sample_weight=w)),
        ("rmse", NUMBER, GUESS, lambda w: reference.root_mean_squared_error(NUMBER, GUESS, sample_weight=w)),
        ("mae", NUMBER, GUESS, lambda w: reference.mean_absolute_error(NUMBER, GUESS, sample_weight=w)),
        ("r2", NUMBER, GUESS, lambda w: reference.r2_score(NUMBER, GUESS, sample_weight=w)),
        ("mape", NUMBER, GUESS, lambda w: reference.mean_absolute_percentage_error(NUMBER, GUESS, sample_weight=w)),
    ],
)  # fmt: skip
def test_a_metric_equals_scikit_learns(name, truth, said, expected, weight):
    metric = METRICS[name]
    assert metric.to_score(metric.loss(truth, said, weight)) == pytest.approx(expected(weight), abs=1e-9)


def test_average_precision_without_a_positive_is_none_of_it():
    assert METRICS["average_precision"].loss(np.zeros(5), np.full((5, 2), 0.5)) == 1.0


def test_multiclass_auc_equals_scikit_learns_one_versus_rest():
    expected = reference.roc_auc_score(CLASSES, MULTI, multi_class="ovr")
    assert 1 - METRICS["roc_auc"].loss(CLASSES, MULTI) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["neg_log_loss", "roc_auc_ovr", "neg_brier_score", "jaccard"])
def test_a_scikit_learn_scorer_is_taken_by_name(name):
    metric = resolve_metric(name, "binary")
    truth, said = TRUTH[:100], BINARY[:100]
    better = np.column_stack([1 - truth, truth]) * 0.98 + 0.01
    assert metric.loss(truth, better) < metric.loss(truth, said)


def test_a_function_is_maximised():
    metric = resolve_metric(lambda truth, said: float((truth == said).mean()), "binary")
    assert metric.loss(TRUTH, BINARY) == pytest.approx(-(BINARY.argmax(1) == TRUTH).mean())


def test_a_mistyped_metric_gets_a_suggestion():
    with pytest.raises(SettingsError, match="Did you mean 'roc_auc'"):
        resolve_metric("roc_acu", "binary")


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(SettingsError, match="none for regression"):
        resolve_metric("roc_auc", "regression")
