"""The production guide's two classes."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest

from automl_core import DataError, SettingsError
from automl_drift.detector import DriftDetector
from automl_drift.performance import PerformanceMonitor


def feed(detector: DriftDetector, predictions: np.ndarray) -> int | None:
    for row, prediction in enumerate(predictions.tolist()):
        detector.add_prediction(prediction)
        if detector.detect_prediction_drift()[0]:
            return row
    return None


def test_drift_of_predictions_is_detected_soon_and_not_before() -> None:
    random = np.random.default_rng(0)
    detector = DriftDetector(window_size=10_000)
    detector.set_reference_distribution(random.beta(2, 2, 5000))
    assert feed(detector, random.beta(2, 2, 20_000)) is None
    row = feed(detector, random.beta(3, 2, 2000))
    assert row is not None
    assert row < 800
    assert detector.detect_prediction_drift()[1].status == "drift"


def test_labels_are_watched_as_well() -> None:
    detector = DriftDetector()
    detector.set_reference_distribution(["yes", "no", "no"] * 500)
    assert feed(detector, np.array(["yes", "yes", "no"] * 200)) is not None


def test_there_is_no_verdict_on_a_few_predictions() -> None:
    detector = DriftDetector()
    detector.set_reference_distribution([0.1, 0.2, 0.3])
    detector.add_prediction(9.0)
    drifted, score = detector.detect_prediction_drift()
    assert not drifted
    assert math.isnan(score)
    assert score.status == "not enough data"


def test_a_detector_without_reference_says_what_to_do() -> None:
    with pytest.raises(DataError, match="set_reference_distribution"):
        DriftDetector().add_prediction(1)


@pytest.mark.parametrize("values", [[], [[0.1, 0.9]], [float("nan")]])
def test_unusable_references_are_refused(values: list[object]) -> None:
    with pytest.raises(DataError):
        DriftDetector().set_reference_distribution(values)


def test_a_fall_of_accuracy_is_told_and_a_stable_one_is_not() -> None:
    random = np.random.default_rng(1)
    monitor = PerformanceMonitor()
    monitor.set_baseline(0.92)
    for right in random.random(20_000) < 0.92:
        monitor.record(1, int(right))
    degraded, score = monitor.check_degradation()
    assert not degraded
    assert score.interval is not None
    assert score.interval[0] < 0.92 < score.interval[1]
    labels = 0
    while not monitor.check_degradation()[0]:
        monitor.record(1, int(random.random() < 0.7))
        labels += 1
    print(f"accuracy .92 to .7: {labels} labels")
    assert labels < 400


def test_false_alarms_on_a_score_at_the_edge_of_the_tolerance_are_rare() -> None:
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(60):
        monitor = PerformanceMonitor(run_length=2000)
        monitor.set_baseline(0.9)
        for wrong in random.random(500) < 0.15:
            monitor.record(0, int(wrong))
        alarms += monitor.degraded
    assert alarms <= 60 / 4 + 3 * math.sqrt(60 * 0.25 * 0.75)  # 500 of 2000 labels


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_errors_of_numbers(metric: str) -> None:
    random = np.random.default_rng(3)
    monitor = PerformanceMonitor(metric)
    monitor.set_baseline(0.8 if metric == "mae" else 1.0)
    for error in random.normal(size=3000):
        monitor.record(5.0, 5.0 + error)
    assert not monitor.check_degradation()[0]
    for error in 1.6 * random.normal(size=1000):
        monitor.record(5.0, 5.0 + error)
    degraded, score = monitor.check_degradation()
    assert degraded
    assert score == pytest.approx(1.6 * (math.sqrt(2 / math.pi) if metric == "mae" else 1), rel=0.1)


@pytest.mark.parametrize(
    ("change", "labels"),
    [
        pytest.param(lambda x, y: (x[:, ::-1], y), 60, id="permuted column"),
        pytest.param(lambda x, y: (x, ~y), 20, id="turned concept"),
        pytest.param(lambda x, y: (x, x[:, 0] > 0.5), 100, id="moved concept"),
    ],
)
def test_delay_of_what_shows_in_the_labels_only(change: Any, labels: int) -> None:
    delays = []
    for seed in range(9):
        random = np.random.default_rng(seed)
        x = random.normal(size=(6000, 2))
        y = x[:, 0] + 0.3 * x[:, 1] > 0
        seen, truth = change(x[3000:], y[3000:])
        said = np.concatenate([x[:3000], seen]) @ (1, 0.3) > 0
        monitor = PerformanceMonitor()
        monitor.set_baseline(0.99)
        for answer, right in zip(said.tolist(), [*y[:3000].tolist(), *truth.tolist()], strict=True):
            if not monitor.degraded:
                monitor.record(answer, right)
        delays.append(monitor.rows - 3000)
    print(f"median delay: {statistics.median(delays)} labels")
    assert min(delays) > 0
    assert statistics.median(delays) <= labels


def test_labels_are_joined_once_whenever_they_come() -> None:
    monitor = PerformanceMonitor(pending=2)
    monitor.set_baseline(0.9)
    for key in "abc":
        monitor.add(key, 1)
    assert not monitor.add_label("a", 1)  # forgotten: only two wait
    assert monitor.add_label("c", 1)
    assert not monitor.add_label("c", 0)
    assert not monitor.add_label("never", 1)
    assert (monitor.rows, monitor.twice, monitor.unknown, monitor.forgotten) == (1, 1, 2, 1)


def test_no_label_is_no_score() -> None:
    monitor = PerformanceMonitor()
    monitor.set_baseline(0.92)
    degraded, score = monitor.check_degradation()
    assert not degraded
    assert math.isnan(score)


def test_an_unknown_metric_is_named_with_the_likely_one() -> None:
    with pytest.raises(SettingsError, match="accuracy"):
        PerformanceMonitor("acuracy")


@pytest.mark.parametrize("baseline", [0.01, math.nan, 1.2])
def test_impossible_baselines_are_refused(baseline: float) -> None:
    with pytest.raises(DataError):
        PerformanceMonitor().set_baseline(baseline)
