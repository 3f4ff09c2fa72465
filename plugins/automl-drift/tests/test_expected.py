"""Scores without labels, from counts of certainties or of predictions: in the monitor, over workers, and when it must not be trusted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import DataError, Event
from automl_drift.expected import Expected
from automl_drift.monitor import DriftMonitor


def draw(seed: int, rows: int, shape: float) -> tuple[np.ndarray, np.ndarray]:
    """Return certainties of a calibrated model of two classes, and whether it was right."""
    random = np.random.default_rng(seed)
    p = random.beta(shape, shape, rows)
    certainty = np.maximum(p, 1 - p)
    return certainty, random.random(rows) < certainty


HELD_OUT = draw(0, 4000, 0.8)
SCHEMA = {
    "rows": 4000,
    "inputs": [{"name": "k", "kind": "category", "statistics": {"levels": ["a", "b"], "level_counts": [2000, 2000]}}],
}


def announce(monitor: DriftMonitor) -> None:
    calibration = {"certainty": HELD_OUT[0].tolist(), "right": HELD_OUT[1].tolist()}
    scores = {"accuracy": float(HELD_OUT[1].mean())}
    told = {"model": "m", "version": "1", "schema": SCHEMA, "scores": scores, "calibration": calibration}
    monitor.emit(Event("model", time.time(), told))


def predict(monitor: DriftMonitor, certainty: np.ndarray, levels: tuple[str, ...] = ("a", "b")) -> None:
    inputs = {"k": np.random.default_rng(9).choice(levels, len(certainty)).tolist()}
    told = {"model": "m", "version": "1", "inputs": inputs, "certainties": certainty.tolist()}
    monitor.emit(Event("prediction", time.time(), told))
    monitor.flush()


def numbers(seed: int, rows: int, mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions, and errors that are as large as they are high."""
    random = np.random.default_rng(seed)
    said = np.clip(random.normal(mean, 1.0, rows), 0.1, 10.0)
    return said, random.normal(size=rows) * said


def announce_numbers(monitor: DriftMonitor, metric: str = "rmse") -> float:
    """Return the score of held-out rows."""
    said, error = numbers(0, 4000, 5.0)
    score = realised(error, metric)
    calibration = {"error": error.tolist()}
    told = {"model": "m", "version": "1", "schema": SCHEMA, "scores": {metric: score}, "calibration": calibration}
    monitor.emit(Event("model", time.time(), {**told, "predictions": said.tolist()}))
    return score


def realised(error: np.ndarray, metric: str) -> float:
    return float(np.abs(error).mean() if metric == "mae" else np.sqrt((error**2).mean()))


def predict_numbers(monitor: DriftMonitor, said: np.ndarray, levels: tuple[str, ...] = ("a", "b")) -> None:
    inputs = {"k": np.random.default_rng(9).choice(levels, len(said)).tolist()}
    monitor.emit(
        Event("prediction", time.time(), {"model": "m", "version": "1", "inputs": inputs, "predictions": said.tolist()})
    )
    monitor.flush()


def estimate(monitor: DriftMonitor) -> dict[str, Any]:
    return dict(monitor.summary()[0]["estimate"])


@pytest.mark.parametrize("shape", [0.8, 2.0, 6.0], ids=["as before", "less certain", "hardly certain"])
def test_accuracy_is_estimated_before_any_label_comes(shape: float) -> None:
    certainty, right = draw(1, 5000, shape)
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        predict(monitor, certainty)
        told, text = estimate(monitor), monitor.expose()[1].decode()
    print(f"estimate {told['accuracy']:.4f}, realised {right.mean():.4f}")
    assert told["interval"][0] < right.mean() < told["interval"][1]
    assert told["interval"][1] - told["interval"][0] < 0.06
    assert told["doubt"] == ""
    assert f'automl_performance_estimate{{model="m",version="1",metric="accuracy"}} {told["accuracy"]:.6g}' in text
    assert 'automl_performance_estimate_trusted{model="m",version="1",metric="accuracy"} 1' in text


def test_model_that_is_too_sure_of_itself_is_calibrated() -> None:
    certainty, right = draw(2, 4000, 2.0)
    sure = 1 - (1 - certainty) / 3
    found = Expected.of_classes(sure, right, window=10_000)
    later, truth = draw(3, 4000, 2.0)
    found.add(found.profile.count(1 - (1 - later) / 3))
    told = found.estimate()
    assert told is not None
    assert told.low < truth.mean() < told.high


def test_labels_that_say_otherwise_take_the_trust_away() -> None:
    certainty, _ = draw(1, 2000, 0.8)
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        predict(monitor, certainty)
        truths = ["a", "b"] * 500
        told = {"model": "m", "version": "1", "predictions": ["a"] * 1000, "truths": truths}
        monitor.emit(Event("label", time.time(), told))
        monitor.flush()
        assert "labels say otherwise" in estimate(monitor)["doubt"]
        assert 'automl_performance_estimate_trusted{model="m",version="1",metric="accuracy"} 0' in monitor.expose()[1].decode()  # fmt: skip


def test_values_that_training_lacked_take_the_trust_away() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        predict(monitor, draw(1, 2000, 0.8)[0], ("a", "b", "new"))
        assert "'k'" in estimate(monitor)["doubt"]


def test_certainties_beyond_those_of_held_out_rows_take_the_trust_away() -> None:
    found = Expected.of_classes(np.linspace(0.5, 0.6, 500), np.arange(500) % 2 == 0, window=10_000)
    found.add(found.profile.count(np.full(200, 0.99)))
    told = found.estimate()
    assert told is not None
    assert "outside" in told.reason


def test_summary_names_the_faults_of_a_feed() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        predict(monitor, draw(1, 2000, 0.8)[0])
        assert monitor.summary()[0]["faults"] == []
        predict(monitor, draw(2, 2000, 0.8)[0], ("a", "b", "new"))
        (fault,) = monitor.summary()[0]["faults"]
    assert (fault["name"], fault["check"]) == ("k", "unseen")
    assert 0.1 < fault["share"] < 0.4


def test_few_rows_allow_no_estimate() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        predict(monitor, draw(1, 99, 0.8)[0])
        assert "estimate" not in monitor.summary()[0]


def test_earlier_rows_fade() -> None:
    with DriftMonitor(interval=600, window=1000, block=100) as monitor:
        announce(monitor)
        for seed in range(10):
            predict(monitor, draw(seed, 1000, 0.8)[0])
        before = estimate(monitor)["accuracy"]
        for seed in range(3):
            predict(monitor, draw(seed, 1000, 6.0)[0])
        assert before - estimate(monitor)["accuracy"] > 0.1


def test_certainties_of_all_workers_count_and_the_next_leader_goes_on(tmp_path: Path) -> None:
    with (
        DriftMonitor(interval=600, directory=str(tmp_path)) as leader,
        DriftMonitor(interval=600, directory=str(tmp_path)) as other,
    ):
        for monitor in (leader, other):
            announce(monitor)
            monitor.flush()
        predict(other, draw(1, 120, 0.8)[0])
        leader.flush()
        told = estimate(leader)
        assert estimate(other) == told
    with DriftMonitor(interval=600, directory=str(tmp_path)) as later:
        announce(later)
        later.flush()
        assert estimate(later) == told


def test_predictions_without_certainties_are_watched_on() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor)
        monitor.emit(Event("prediction", 0.0, {"model": "m", "version": "1", "inputs": {"k": ["a", "b"] * 100}}))
        monitor.flush()
        assert (monitor.reports()["m", "1"].rows, monitor.dropped) == (200, 0)
        assert "estimate" not in monitor.summary()[0]


@pytest.mark.parametrize(("certainty", "right"), [([], []), ([1.5], [True]), ([0.5, 0.6], [True])])
def test_what_is_no_calibration_is_refused(certainty: list[float], right: list[bool]) -> None:
    with pytest.raises(DataError, match="held-out row"):
        Expected.of_classes(certainty, right, window=100)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
@pytest.mark.parametrize("mean", [3.5, 5.0, 6.5], ids=["easier", "as before", "harder"])
def test_error_is_estimated_before_any_label_comes(metric: str, mean: float) -> None:
    said, error = numbers(1, 5000, mean)
    real = realised(error, metric)
    with DriftMonitor(interval=600) as monitor:
        before = announce_numbers(monitor, metric)
        predict_numbers(monitor, said)
        told, text = estimate(monitor), monitor.expose()[1].decode()
    print(f"held out {before:.3f}, estimate {told[metric]:.3f}, realised {real:.3f}")
    assert told["interval"][0] < real < told["interval"][1]
    assert told["interval"][1] - told["interval"][0] < 0.2 * real
    assert told["doubt"] == ""
    assert f'automl_performance_estimate{{model="m",version="1",metric="{metric}"}} {told[metric]:.6g}' in text
    assert f'automl_performance_estimate_trusted{{model="m",version="1",metric="{metric}"}} 1' in text


def test_interval_of_the_error_covers_it_in_about_95_of_100_runs() -> None:
    covered = 0
    for seed in range(200):
        found = Expected.of_numbers(*numbers(seed, 1000, 5.0), window=10_000)
        said, error = numbers(1000 + seed, 500, 5.5)
        found.add(found.profile.count(said))
        told = found.estimate()
        assert told is not None
        covered += told.low < realised(error, "rmse") < told.high
    print(f"covered {covered} of 200")
    assert covered >= 180


def test_predictions_beyond_those_of_held_out_rows_take_the_trust_away() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce_numbers(monitor)
        predict_numbers(monitor, np.full(200, 20.0))
        assert "100% of rows have a prediction outside" in estimate(monitor)["doubt"]
        assert 'automl_performance_estimate_trusted{model="m",version="1",metric="rmse"} 0' in monitor.expose()[1].decode()  # fmt: skip


def test_inputs_that_training_lacked_take_the_trust_in_the_error_away() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce_numbers(monitor)
        predict_numbers(monitor, numbers(1, 2000, 5.0)[0], ("a", "b", "new"))
        assert "'k'" in estimate(monitor)["doubt"]


def test_labels_of_larger_errors_take_the_trust_away() -> None:
    said, error = numbers(1, 2000, 5.0)
    with DriftMonitor(interval=600) as monitor:
        announce_numbers(monitor)
        predict_numbers(monitor, said)
        told = {"model": "m", "version": "1", "predictions": said.tolist(), "truths": (said + 2 * error).tolist()}
        monitor.emit(Event("label", time.time(), told))
        monitor.flush()
        assert "labels say otherwise" in estimate(monitor)["doubt"]


def test_predictions_of_all_workers_count_towards_the_error(tmp_path: Path) -> None:
    said = numbers(1, 120, 5.0)[0]
    with (
        DriftMonitor(interval=600, directory=str(tmp_path)) as leader,
        DriftMonitor(interval=600, directory=str(tmp_path)) as other,
    ):
        for monitor in (leader, other):
            announce_numbers(monitor)
            monitor.flush()
        predict_numbers(other, said)
        leader.flush()
        told = estimate(leader)
        assert estimate(other) == told
    with DriftMonitor(interval=600, directory=str(tmp_path)) as later:
        announce_numbers(later)
        later.flush()
        assert estimate(later) == told


def test_model_that_says_one_number_has_the_error_of_held_out_rows() -> None:
    error = np.random.default_rng(0).normal(size=500)
    found = Expected.of_numbers(np.full(500, 7.0), error, window=10_000)
    found.add(found.profile.count(np.full(200, 7.0)))
    told = found.estimate()
    assert told is not None
    assert (told.value, told.reason) == (pytest.approx(realised(error, "rmse")), "")


@pytest.mark.parametrize(("said", "error"), [([], []), ([1.0], [float("nan")]), ([1.0, 2.0], [0.1])])
def test_what_are_no_errors_is_refused(said: list[float], error: list[float]) -> None:
    with pytest.raises(DataError, match="held-out row"):
        Expected.of_numbers(said, error, window=100)
