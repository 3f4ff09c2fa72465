from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from automl_mlflow.settings import MLflowConfig
from automl_mlflow.tracker import MLflowTracker

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables and nothing else: making them takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def directory(tmp_path: Path, empty_store: Path) -> Path:
    """A directory of the engine whose default store is there already."""
    folder = tmp_path / "engine"
    (folder / "mlflow").mkdir(parents=True)
    shutil.copyfile(empty_store, folder / "mlflow" / "mlflow.db")
    return folder


@pytest.fixture
def live(directory: Path) -> MLflowTracker:
    """A tracker that sends by a process of its own, which takes seconds to start."""
    return MLflowTracker(MLflowConfig.model_validate({"flush_seconds": 300}), directory=directory)


@pytest.fixture
def tracker(directory: Path) -> MLflowTracker:
    """A tracker that sends when `flush` is called, and in this process."""
    return MLflowTracker(MLflowConfig.model_validate({"offline": True}), directory=directory)
