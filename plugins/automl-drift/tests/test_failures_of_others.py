"""What monitoring libraries got wrong when they were measured, and must not be got wrong here."""

from __future__ import annotations

import numpy as np
import pytest

from automl_drift.detector import DriftDetector
from automl_drift.distances import jensen_shannon
from automl_drift.estimates import CBPE_METRICS, ConfidenceBased
from automl_drift.performance import PerformanceMonitor
from automl_drift.profile import Profile
from automl_drift.watch import DRIFT, Watch

TWENTY = [f"level {i}" for i in range(20)]


def verdict(profile: Profile, values: list[str]) -> str:
    watch = Watch([profile], minimum=1)
    for start in range(0, len(values), 100):
        block = values[start : start + 100]
        watch.add(watch.count({profile.name: block}, len(block)), len(block))
    return watch.status


@pytest.mark.parametrize("size", [50, 100, 200, 500, 1000])
def test_small_samples_of_twenty_categories_like_the_reference_are_silent(size: int) -> None:
    # A threshold of .1 on Jensen-Shannon's distance: an alarm on each sample of 50 or 100, on 70 % of those of 200.
    random = np.random.default_rng(0)
    profile = Profile.of("level", random.choice(TWENTY, 5000).tolist())
    samples = [random.choice(TWENTY, size).tolist() for _ in range(100)]
    beyond = sum(jensen_shannon(profile.counts, profile.count(sample)) >= 0.1 for sample in samples)
    assert beyond == 100 or size > 100
    assert DRIFT not in {verdict(profile, sample) for sample in samples}


def test_order_of_the_reference_does_not_matter() -> None:
    # Thresholds from chunks of a reference sorted by category let a distance of .176 pass.
    reference, current = ["a"] * 500 + ["b"] * 300 + ["c"] * 200, ["a"] * 400 + ["b"] * 300 + ["c"] * 250 + ["d"] * 50
    shuffled = np.random.default_rng(0).permutation(reference).tolist()
    assert Profile.of("level", reference).key == Profile.of("level", shuffled).key
    traffic = np.random.default_rng(1).permutation(current).tolist()
    assert verdict(Profile.of("level", reference), traffic) == DRIFT


def test_another_meaning_of_the_target_is_seen_by_labels_which_then_contradict_the_estimate() -> None:
    # NannyML's estimate of this stream is an AUC of .8576, and nothing doubts it.
    random = np.random.default_rng(0)
    p = random.beta(0.8, 0.8, 10_000)
    truth = random.random(10_000) < p
    estimator = ConfidenceBased(p, truth, metric="accuracy")
    baseline = CBPE_METRICS["accuracy"](p, truth.astype(np.float64))
    monitor = PerformanceMonitor(run_length=20_000)
    monitor.set_baseline(baseline)
    before = np.random.default_rng(1).beta(0.8, 0.8, 1000)
    for said, right in zip(before >= 0.5, np.random.default_rng(3).random(1000) < before, strict=True):
        monitor.record(bool(said), bool(right))
    _, score = monitor.check_degradation()
    assert not monitor.degraded
    assert estimator.estimate(before, labelled=score.interval).trusted

    random = np.random.default_rng(2)
    p = random.beta(0.8, 0.8, 10_000)[:5000]
    truth = random.random(10_000)[:5000] < 0.5 + 0.5 * (p - 0.5)
    assert CBPE_METRICS["roc_auc"](p, truth.astype(np.float64)) == pytest.approx(0.674777, abs=1e-6)
    monitor.reset()
    labels = 0
    for said, right in zip(p >= 0.5, truth, strict=True):
        monitor.record(bool(said), bool(right))
        labels += not monitor.degraded
    print(f"accuracy {baseline:.3f} to {(truth == (p >= 0.5)).mean():.3f}: {labels} labels")
    assert labels < 300
    _, score = monitor.check_degradation()
    found = estimator.estimate(p, labelled=score.interval)
    assert found.value > 0.75
    assert "labels say otherwise" in found.reason
    assert estimator.estimate(p).trusted  # without labels nobody can know


def test_same_rows_give_the_same_verdict_in_any_order() -> None:
    # whylogs gave p-values from .22 to .63 for one pair of samples, as its sketches draw at random.
    random = np.random.default_rng(4)
    reference, values = random.normal(size=2000), random.normal(0.15, 1.0, 3000)
    found = []
    for _ in range(3):
        detector = DriftDetector()
        detector.set_reference_distribution(random.permutation(reference))
        block = random.permutation(values[:1000]), random.permutation(values[1000:])
        for value in np.concatenate(block).tolist():
            detector.add_prediction(value)
        found.append((detector.detect_prediction_drift()[0], detector.detect_prediction_drift()[1].rows))
    assert found[0] == found[1] == found[2]
