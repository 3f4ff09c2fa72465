"""Alerts that start a run, and those that do not."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from automl.retrain import plugin
from automl.service import PredictionService
from automl_core import Event, Plugins, Settings, SettingsError


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that a program in place of Python writes its arguments to, before it waits for the file `go`."""
    program = tmp_path / "python"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/started\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.05; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_PLUGINS__RETRAIN__NAME", "loans")
    plugin._runs.clear()
    return tmp_path / "started"


def alarm(name: str, model: str = "loans") -> None:
    host = Plugins(Settings(listeners=("retrain",), strict=True))
    host.emit("automl_alert_raised", alert=Event(name, time.time(), {"model": model, "version": "3"}))


def finish(started: Path) -> list[str]:
    (started.parent / "go").touch()
    for run in plugin._runs:
        run.wait(60)
    return started.read_text().splitlines() if started.exists() else []


def test_alert_starts_the_command_in_a_process_of_its_own(started: Path) -> None:
    alarm("degradation")
    assert finish(started) == ["-m automl retrain --because degradation of version 3"]


def test_alerts_start_no_second_run_beside_the_first(started: Path) -> None:
    alarm("degradation")
    alarm("degradation")
    assert len(finish(started)) == 1
    alarm("degradation")
    assert len(finish(started)) == 2


@pytest.mark.parametrize(("name", "model"), [("drift", "loans"), ("degradation", "other")])
def test_other_alerts_and_models_start_nothing(started: Path, name: str, model: str) -> None:
    alarm(name, model)
    assert finish(started) == []


def test_settings_say_which_alerts_start_a_run(started: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_PLUGINS__RETRAIN__ALERTS", "drift, degradation")
    alarm("drift")
    assert len(finish(started)) == 1


def test_server_does_not_start_with_wrong_settings_of_retraining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    host = Plugins(Settings(listeners=("retrain",), plugins={"retrain": {"cool_down": "1"}}))
    with pytest.raises(SettingsError, match="cool_down"):
        PredictionService(plugins=host).start()
