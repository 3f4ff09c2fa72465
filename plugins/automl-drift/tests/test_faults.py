"""What goes wrong around the monitor `drift`: processes that are killed, clocks that jump, folders and columns that are gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Event
from automl_drift.monitor import DriftMonitor
from automl_drift.watch import DRIFT, OK

EDGES = np.quantile(np.random.default_rng(0).normal(size=5000), np.linspace(0, 1, 21)).tolist()
SCHEMA = {
    "rows": 5000,
    "inputs": [
        {"name": name, "kind": "number", "statistics": {"edges": EDGES, "counts": [250] * 20}} for name in ("x", "y")
    ],
}
MODEL = {"model": "m", "version": "1", "schema": SCHEMA, "scores": {"accuracy": 0.9}}


def announce(monitor: DriftMonitor) -> None:
    monitor.emit(Event("model", time.time(), MODEL))


def predict(monitor: DriftMonitor, rows: int, *, seed: int = 0, **columns: Any) -> None:
    random = np.random.default_rng(seed)
    inputs = {name: random.normal(size=rows).tolist() for name in ("x", "y")}
    inputs = {name: values for name, values in {**inputs, **columns}.items() if values is not None}
    monitor.emit(Event("prediction", time.time(), {"model": "m", "version": "1", "inputs": inputs}))


def label(monitor: DriftMonitor, right: int, wrong: int) -> None:
    truths = ["a"] * right + ["b"] * wrong
    told = {"model": "m", "version": "1", "predictions": ["a"] * (right + wrong), "truths": truths}
    monitor.emit(Event("label", time.time(), told))


WORKER = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("faults", sys.argv[1])
faults = importlib.util.module_from_spec(spec)
spec.loader.exec_module(faults)
monitor = faults.DriftMonitor(interval=3600, directory=sys.argv[2])
faults.announce(monitor)
faults.predict(monitor, 500, seed=1)
faults.label(monitor, 36, 4)
monitor.flush()
faults.predict(monitor, 300, seed=2)
print("ready", flush=True)
time.sleep(600)
"""


def killed(directory: Path) -> None:
    """Let a worker put 500 rows and 40 labels together, then see 300 rows, and kill it."""
    command = [sys.executable, "-c", WORKER, __file__, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)


def test_killed_workers_lose_what_they_saw_since_their_last_flush_and_no_more(tmp_path: Path) -> None:
    with DriftMonitor(interval=3600, directory=str(tmp_path)) as leader:
        announce(leader)
        leader.flush()
        for dead in range(1, 3):
            killed(tmp_path)
            for _ in range(2):  # what a dead worker left is taken once
                leader.flush()
                assert leader.reports()["m", "1"].rows == 500 * dead
                assert leader.scores()["m", "1"].rows == 40 * dead
    assert not list(tmp_path.rglob("*.counts"))


def test_killed_leader_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    killed(tmp_path)
    with DriftMonitor(interval=3600, directory=str(tmp_path)) as later:
        announce(later)
        predict(later, 100, seed=3)
        later.flush()
        assert later.reports()["m", "1"].rows == 600
        assert later.scores()["m", "1"].rows == 40


@pytest.mark.parametrize("rows", [200, 0], ids=["rows and labels", "labels alone"])
def test_folder_that_cannot_be_written_for_a_while_costs_no_row_and_no_label(
    rows: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DriftMonitor(interval=3600, directory=str(tmp_path)) as monitor:
        announce(monitor)
        monitor.flush()
        (folder,) = tmp_path.iterdir()
        away = folder.rename(tmp_path / "away")
        predict(monitor, rows, seed=1)
        label(monitor, 18, 2)
        monitor.flush()
        assert "cannot be brought up to date" in caplog.text
        away.rename(folder)
        predict(monitor, 300, seed=2)
        label(monitor, 9, 1)
        for _ in range(2):
            monitor.flush()
        assert monitor.reports()["m", "1"].rows == rows + 300
        assert monitor.scores()["m", "1"].rows == 30


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0], ids=["forward", "back"])
def test_clock_that_jumps_neither_repeats_nor_holds_back_an_alert(jump: float, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts: list[Event] = []
    clock: Callable[[], float] = time.time
    with DriftMonitor(interval=3600) as monitor:
        monitor.on_event = alerts.append
        announce(monitor)
        predict(monitor, 1000, x=[9.0] * 1000)
        monitor.flush()
        monkeypatch.setattr(time, "time", lambda: clock() + jump)
        predict(monitor, 1000, x=[9.0] * 1000)
        monitor.flush()
        assert [alert.name for alert in alerts] == ["drift"]
        monitor.repeat = 0.0
        monitor.flush()
        assert [alert.name for alert in alerts] == ["drift", "drift"]
        assert (monitor.reports()["m", "1"].rows, monitor.dropped) == (2000, 0)


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"x": None}, id="missing"),
        pytest.param({"x": None, "X": [0.0] * 500}, id="renamed"),
        pytest.param({"x": ["word"] * 500}, id="another type"),
        pytest.param({"x": [{"a": 1}, [2.0]] * 250}, id="no values"),
        pytest.param({"x": [None] * 500}, id="all null"),
        pytest.param({"x": [0.5] * 500}, id="constant"),
        pytest.param({"x": [float("inf"), -float("inf")] * 250}, id="infinite"),
    ],
)
def test_bad_columns_are_named_and_the_others_are_watched_on(columns: dict[str, Any]) -> None:
    alerts: list[Event] = []
    with DriftMonitor(interval=3600) as monitor:
        monitor.on_event = alerts.append
        announce(monitor)
        predict(monitor, 500, seed=1)
        monitor.flush()
        assert monitor.reports()["m", "1"].status == OK
        predict(monitor, 500, seed=2, **columns)
        monitor.flush()
        report = monitor.reports()["m", "1"]
    assert (report.status, report.drifted, report.rows, monitor.dropped) == (DRIFT, ("x",), 1000, 0)
    assert [alert.attributes["drifted"] for alert in alerts] == [["x"]]
