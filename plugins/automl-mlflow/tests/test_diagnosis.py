"""What `automl doctor` is told of MLflow."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from automl_core.diagnosis import Diagnoses
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.tracker import MLflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def test_store_of_this_machine_is_a_doubt(tracker: MLflowTracker) -> None:
    assert isinstance(tracker, Diagnoses)
    (found,) = tracker.diagnose()
    assert (found.check, found.state) == ("MLflow", "warning")


def test_server_that_is_down_fails_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://me:hunter2@127.0.0.1:{probe.getsockname()[1]}"
        tracker = MLflowTracker(MLflowConfig.model_validate({"tracking_uri": uri}), directory=tmp_path)
        (found,) = tracker.diagnose()
    assert found.state == "failed"
    assert "hunter2" not in found.said


def test_studies_that_wait_are_counted(tracker: MLflowTracker) -> None:
    (tracker.connection.spools / "one").mkdir(parents=True)
    found = {finding.check: finding for finding in tracker.diagnose()}
    assert found["MLflow spool"].said.startswith("1 studies")
