"""A study where MLflow's autologging is on: its fits are runs of the study alone, and its user's are logged as ever."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris
from test_mlflow_server import store

from automl import AutoML
from automl_core.settings import load_settings

pytest.importorskip("mlflow")
lightgbm = pytest.importorskip("lightgbm")
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's own code
__all__ = ["store"]  # a fixture


@pytest.fixture
def autologging(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Turn autologging on, and return the address that it logs to."""
    import mlflow

    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of experiments that it makes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which MLflow sets, and which must not outlive the test
    shutil.copyfile(store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("notebook")
    mlflow.lightgbm.autolog(log_models=False, silent=True)
    yield uri
    mlflow.lightgbm.autolog(disable=True)
    mlflow.set_tracking_uri(None)


def autologged(uri: str) -> list[Any]:
    """Return the runs that MLflow made of fits by itself."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return [run for run in found if "mlflow.autologging" in run.data.tags]


def test_fits_of_a_study_are_no_runs_of_their_own(autologging: str, tmp_path: Path) -> None:
    block = {"tracking_uri": autologging, "offline": True}
    settings = load_settings(
        trackers=("mlflow",), executor="threads", search="random", learners=("lightgbm",), directory=str(tmp_path),
        plugins={"mlflow": block},
    )  # fmt: skip
    frame = load_iris(as_frame=True).frame
    AutoML(time_limit=None, max_trials=1, folds=2, settings=settings, n_jobs=2).fit(frame, target="target")
    assert autologged(autologging) == []
    lightgbm.train({"verbose": -1}, lightgbm.Dataset(frame.drop(columns="target"), frame["target"]), 2)
    assert len(autologged(autologging)) == 1
