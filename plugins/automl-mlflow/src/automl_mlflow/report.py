"""The page about a model, which the engine's own command writes: a process, as it loads what draws and what fits."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

from automl_mlflow.flavour import read_manifest

__all__ = ["write_report"]

PROGRAM = ("-P", "-m", "automl", "report")
LONGEST = 600.0  # seconds
log = logging.getLogger("automl.mlflow")


def write_report(model: Path, page: Path) -> bool:
    """Write the page, and tell whether there is one: not of a foreign model, nor without the sdk's extra `report`."""
    if not read_manifest(model):
        return False
    command = [sys.executable, *PROGRAM, str(model), "--out", str(page)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("the study has no report in MLflow: %s", error)
        return False
    if done.returncode:
        log.info("the study has no report in MLflow: %s", done.stderr.strip().rpartition("\n")[2])
    return done.returncode == 0
