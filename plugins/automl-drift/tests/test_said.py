"""Drift of predictions, against the first that a version served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Event
from automl_drift.monitor import PREDICTION, DriftMonitor
from automl_drift.watch import DRIFT, OK

SCHEMA = {
    "rows": 1000,
    "inputs": [{"name": "x", "kind": "number", "statistics": {"edges": [0.0, 0.5, 1.0], "counts": [500, 500]}}],
}


def announce(monitor: DriftMonitor, predictions: list[Any]) -> None:
    told = {"model": "m", "version": "1", "schema": SCHEMA, "predictions": predictions}
    monitor.emit(Event("model", time.time(), told))


def predict(monitor: DriftMonitor, predictions: list[Any], seed: int = 0) -> None:
    inputs = {"x": np.random.default_rng(seed).random(len(predictions)).tolist()}
    told = {"model": "m", "version": "1", "inputs": inputs, "predictions": predictions}
    monitor.emit(Event("prediction", time.time(), told))
    monitor.flush()


def labels(seed: int, rows: int, share: float) -> list[str]:
    return np.where(np.random.default_rng(seed).random(rows) < share, "yes", "no").tolist()


def test_predictions_that_differ_from_held_out_ones_and_stay_so_are_no_drift() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor, labels(0, 1000, 0.3))
        for seed in range(20):
            predict(monitor, labels(seed + 1, 1000, 0.5), seed)
        assert monitor.reports()["m", "1"].status == OK


@pytest.mark.parametrize("kind", ["labels", "numbers"])
def test_predictions_that_change_raise_one_alert_that_names_them(kind: str) -> None:
    def say(seed: int, changed: bool) -> list[Any]:
        if kind == "labels":
            return labels(seed, 500, 0.5 if changed else 0.3)
        return (np.random.default_rng(seed).normal(size=500) + 0.5 * changed).tolist()

    alerts: list[Event] = []
    with DriftMonitor(interval=600) as monitor:
        monitor.on_event = alerts.append
        announce(monitor, say(0, False))
        for seed in range(1, 11):
            predict(monitor, say(seed, False), seed)
        assert not alerts
        for seed in range(11, 15):
            predict(monitor, say(seed, True), seed)
        report = monitor.reports()["m", "1"]
        text = monitor.expose()[1].decode()
    assert [alert.attributes["drifted"] for alert in alerts] == [[PREDICTION]]
    assert (report.status, report.drifted, report.rows) == (DRIFT, (PREDICTION,), 7000)
    assert {item.profile.name for item in report.findings} == {"x", PREDICTION}
    assert 'automl_drift_alarm{model="m",version="1"} 1' in text


def test_next_leader_compares_with_the_same_first_predictions(tmp_path: Path) -> None:
    for seed, rows in enumerate((1500, 1000)):  # the second one completes the reference
        with DriftMonitor(interval=600, directory=str(tmp_path)) as monitor:
            announce(monitor, labels(0, 1000, 0.3))
            predict(monitor, labels(seed, rows, 0.3), seed)
    with DriftMonitor(interval=600, directory=str(tmp_path)) as later:
        announce(later, labels(0, 1000, 0.3))
        later.flush()
        found = {item.profile.name: item.profile.rows for item in later.reports()["m", "1"].findings}
        assert found == {"x": 1000, PREDICTION: 2500}
        for seed in range(2, 5):
            predict(later, labels(seed, 1000, 0.6), seed)
        assert later.reports()["m", "1"].drifted == (PREDICTION,)


def test_few_predictions_are_compared_with_none() -> None:
    with DriftMonitor(interval=600) as monitor:
        announce(monitor, labels(0, 1000, 0.3))
        predict(monitor, labels(1, 500, 0.3))
        assert [item.profile.name for item in monitor.reports()["m", "1"].findings] == ["x"]
