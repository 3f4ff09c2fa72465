"""Who and what a run belongs to: the process, and the run that is active in it."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import ActiveRun

__all__ = ["active_run", "environment", "run_tags", "tracking_uri"]

PACKAGES = ("automl-sdk", "automl-core", "automl-mlflow", "numpy", "scikit-learn", "lightgbm", "xgboost", "catboost")


def tracking_uri() -> str | None:
    """Return where MLflow's own calls in this process go while a run is active there; None without an active run."""
    mlflow = sys.modules.get("mlflow")  # who has not imported it has no active run
    return None if mlflow is None or mlflow.active_run() is None else str(mlflow.get_tracking_uri())


def active_run(uri: str) -> ActiveRun | None:
    """Return MLflow's active run in this thread, if it is at this address."""
    mlflow = sys.modules.get("mlflow")
    run: ActiveRun | None = None if mlflow is None else mlflow.active_run()
    return run if run is not None and mlflow is not None and mlflow.get_tracking_uri() == uri else None


def run_tags() -> dict[str, str]:
    """Return the tags that MLflow's pages show of every run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        user = str(os.getuid())
    source = sys.argv[0] if sys.argv else ""
    return {"mlflow.user": user, "mlflow.source.name": source or "python", "mlflow.source.type": "LOCAL"}


@cache
def environment() -> dict[str, str]:
    """Return the versions that a study ran with."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "host": socket.gethostname()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
