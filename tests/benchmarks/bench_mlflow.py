"""What tracking in MLflow costs a study: wall clock of `fit` with the tracker over that without.

`pytest -s -m benchmark tests/benchmarks/bench_mlflow.py`; TRIALS, REPEATS and JOBS from the environment. The two take turns, each
in a fresh process, so that neither has the other's imports; the end of the process is told apart, as only it waits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from automl.tracking.mlflow_integration import MLflowTracker

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]
TRIALS = int(os.environ.get("TRIALS", "200"))
REPEATS = int(os.environ.get("REPEATS", "3"))
JOBS = os.environ.get("JOBS", "-1")
STUDY = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_breast_cancer
from automl import AutoML
from automl_core.settings import load_settings
trackers, trials, directory = sys.argv[1].split(",") if sys.argv[1] else (), int(sys.argv[2]), sys.argv[3]
settings = load_settings(
    trackers=tuple(trackers), executor="threads", search="random", storage="memory", learners=("lightgbm",),
    directory=directory,
)
frame = load_breast_cancer(as_frame=True).frame
automl = AutoML(time_limit=None, max_trials=trials, folds=3, settings=settings, n_jobs=int(sys.argv[4]))
started = time.perf_counter()
automl.fit(frame, target="target")
print(json.dumps({"fit": time.perf_counter() - started, "ended": time.time()}))
"""


def study(trackers: str, directory: Path) -> tuple[float, float]:
    """Return the seconds of `fit`, and those from its return to the end of the process."""
    done = subprocess.run(
        [sys.executable, "-c", STUDY, trackers, str(TRIALS), str(directory), JOBS],
        capture_output=True,
        text=True,
        check=True,
    )
    said, ended = json.loads(done.stdout.splitlines()[-1]), time.time()
    while any(directory.glob("mlflow/spool/*/*")):  # what goes on after the process must not slow the next one
        time.sleep(0.5)
    return said["fit"], ended - said["ended"]


def test_study_with_tracking_over_without(tmp_path: Path) -> None:
    started = time.perf_counter()
    MLflowTracker(directory=tmp_path / "mlflow").versions("nothing")
    print(f"\nmaking a new store: {time.perf_counter() - started:.1f} s, once, and not in the figures below")
    seconds: dict[str, list[float]] = {"": [], "mlflow": []}
    waits: dict[str, list[float]] = {"": [], "mlflow": []}
    for repeat in range(REPEATS):
        for trackers in ("", "mlflow") if repeat % 2 else ("mlflow", ""):
            fit, wait = study(trackers, tmp_path / trackers)
            seconds[trackers].append(fit)
            waits[trackers].append(wait)
    off, on = median(seconds[""]), median(seconds["mlflow"])
    print(
        f"{TRIALS} trials, median of {REPEATS}: {on:.1f} s tracked in SQLite, {off:.1f} s not tracked, ratio "
        f"{on / off:.3f}; end of the process {median(waits['mlflow']):.1f} s against {median(waits['']):.1f} s"
    )
    assert len(list((tmp_path / "mlflow" / "mlflow").glob("mlflow.db"))) == 1
