"""Streams with a change at row 1000, on which river's detectors were run (0.26.1, with their defaults).

First alarms of theirs: errors ADWIN 1183, PageHinkley 1254, DDM 1243, KSWIN none; mean ADWIN 1151, PageHinkley 1070,
KSWIN 586 (false); variance ADWIN none, PageHinkley 1167, KSWIN 484 (false).
"""

from __future__ import annotations

import numpy as np

from automl_drift.detector import DriftDetector
from automl_drift.performance import PerformanceMonitor


def first_drift(reference: np.ndarray, values: np.ndarray) -> int | None:
    detector = DriftDetector(window_size=1000, run_length=20_000)
    detector.set_reference_distribution(reference)
    for row, value in enumerate(values.tolist()):
        detector.add_prediction(value)
        if detector.detect_prediction_drift()[0]:
            return row
    return None


def test_error_rate_from_a_tenth_to_three_tenths() -> None:
    u = np.random.default_rng(42).random(2000)
    wrong = np.where(np.arange(2000) < 1000, u < 0.1, u < 0.3)
    assert (wrong[:1000].sum(), wrong[1000:].sum()) == (95, 292)
    monitor = PerformanceMonitor(tolerance=0.02, run_length=20_000)
    monitor.set_baseline(0.9)
    alarm = None
    for row, error in enumerate(wrong.tolist()):
        monitor.record(0, int(error))
        if monitor.degraded and alarm is None:
            alarm = row
    print(f"errors: {alarm}")
    assert alarm is not None
    assert 1000 <= alarm <= 1183


def test_mean_by_half_a_deviation() -> None:
    values = np.random.default_rng(43).normal(size=2000)
    values[1000:] += 0.5
    alarm = first_drift(np.random.default_rng(0).normal(size=5000), values)
    print(f"mean: {alarm}")
    assert alarm is not None
    assert 1000 <= alarm <= 1199  # looked at every hundred rows


def test_variance_alone() -> None:
    values = np.random.default_rng(44).normal(size=2000)
    values[1000:] *= 2
    alarm = first_drift(np.random.default_rng(0).normal(size=5000), values)
    print(f"variance: {alarm}")
    assert alarm is not None
    assert 1000 <= alarm <= 1167


def test_a_hundred_quiet_streams_raise_next_to_nothing() -> None:
    # In streams of 2,000 KSWIN alarms first after 776 rows on average, PageHinkley after 1,624.
    random = np.random.default_rng(45)
    reference = random.normal(size=5000)
    alarms = sum(first_drift(reference, random.normal(size=2000)) is not None for _ in range(100))
    assert alarms <= 10 + 3 * 3  # 2,000 of 20,000 rows
