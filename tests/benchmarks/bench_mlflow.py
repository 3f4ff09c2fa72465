"""What tracking in MLflow costs a study, in SQLite and by a local server: wall clock and processor time, tracked over untracked.

`pytest -s -m benchmark tests/benchmarks/bench_mlflow.py`; TRIALS, REPEATS and JOBS from the environment. One pair per store takes
three minutes on two cores, and `TRIALS=200` four times as long. The two take turns, each in a fresh process, so that neither has
the other's imports. What is sent after `fit` is told apart, as only the end of the process waits for it, and that for 10 s at most
where settings say nothing else. Wall clock needs an idle machine, and repeats: two studies that are the same differ by some per
cent. Processor time hardly does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from test_mlflow_server import Server, store

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")]
__all__ = ["store"]  # a fixture
TRIALS = int(os.environ.get("TRIALS", "50"))
REPEATS = int(os.environ.get("REPEATS", "1"))
JOBS = os.environ.get("JOBS", "-1")
STUDY = """
import atexit, json, resource, sys, time, warnings
warnings.simplefilter("ignore")

def tell():
    sent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"fit": ended - started, "rest": time.perf_counter() - ended, "cpu": cpu, "sender": sum(sent[:2])}))

atexit.register(tell)  # the first comes last
from sklearn.datasets import load_breast_cancer
from automl import AutoML
from automl_core.settings import load_settings
trackers, trials, directory = sys.argv[1].split(",") if sys.argv[1] else (), int(sys.argv[2]), sys.argv[3]
mlflow = {"tracking_uri": sys.argv[5]} if sys.argv[5] else {}
settings = load_settings(
    trackers=tuple(trackers), executor="threads", search="random", storage="memory", learners=("lightgbm",),
    directory=directory, plugins={"mlflow": mlflow},
)
frame = load_breast_cancer(as_frame=True).frame
automl = AutoML(time_limit=None, max_trials=trials, folds=3, settings=settings, n_jobs=int(sys.argv[4]))
started, cpu = time.perf_counter(), -time.process_time()
automl.fit(frame, target="target")
ended, cpu = time.perf_counter(), cpu + time.process_time()
"""


@pytest.fixture(params=["SQLite", "a server"])
def address(request: pytest.FixtureRequest, store: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a store whose tables are made; empty for the engine's own file."""
    if request.param == "SQLite":
        (tmp_path / "mlflow" / "mlflow").mkdir(parents=True)
        shutil.copyfile(store, tmp_path / "mlflow" / "mlflow" / "mlflow.db")
        yield ""
        return
    shutil.copyfile(store, tmp_path / "mlflow.db")
    server = Server(tmp_path)
    server.start()
    yield server.uri
    server.stop()


def study(trackers: str, directory: Path, address: str) -> dict[str, float]:
    """Return seconds: of `fit`, of the `rest` until all was sent, and of processors of the study and of the `sender`."""
    done = subprocess.run(
        [sys.executable, "-c", STUDY, trackers, str(TRIALS), str(directory), JOBS, address],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_study_with_tracking_over_without(address: str, tmp_path: Path) -> None:
    said: dict[str, list[dict[str, float]]] = {"": [], "mlflow": []}
    for repeat in range(REPEATS):
        for trackers in ("", "mlflow") if repeat % 2 == bool(address) else ("mlflow", ""):
            said[trackers].append(study(trackers, tmp_path / trackers, address))
    off, on = ({name: median(one[name] for one in said[way]) for name in said[way][0]} for way in said)
    print(
        f"\n{TRIALS} trials by {address or 'SQLite'}, median of {REPEATS}: fit {on['fit']:.1f} s tracked, {off['fit']:.1f} s "
        f"not tracked, ratio {on['fit'] / off['fit']:.3f}; all is sent {on['rest']:.1f} s later\n"
        f"processor: study {on['cpu']:.1f} s tracked, {off['cpu']:.1f} s not tracked; sender {on['sender']:.1f} s, with the "
        f"import of MLflow and the report"
    )
    assert on["sender"] > 0
