"""A study on Ray, killed and not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl_core import hookimpl
from automl_core.settings import load_settings

pytest.importorskip("ray", reason="automl-ray is not installed here")
X, Y = load_breast_cancer(return_X_y=True)
LEARNERS = ("lightgbm", "sklearn.linear")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    from automl_ray.cluster import Cluster

    with Cluster(cpus=2, gpus=0, object_store_bytes=200 << 20) as cluster:
        yield cluster


def fit(folder, executor, listeners=()):
    settings = load_settings(executor=executor, search="random", learners=LEARNERS, directory=str(folder))
    engine = AutoML(time_limit=None, max_trials=5, folds=3, n_jobs=2, settings=settings, listeners=listeners)
    return engine.fit(X[:300], Y[:300])


def rows(engine):
    return [(row["name"], row["state"], row["score"]) for row in engine.leaderboard()]


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("threads"), "threads")


def test_the_same_seed_and_trials_give_the_same_leaderboard_on_ray(calm, tmp_path):
    engine = fit(tmp_path, "ray")
    assert rows(engine) == rows(calm)
    assert (engine.predict_proba(X[300:]) == calm.predict_proba(X[300:])).all()


def workers() -> list[int]:
    """Return the processes that run a fit now: grandchildren of this one, by the node that it started."""
    lines = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    table = [(int(pid), int(parent), rest) for pid, parent, rest in (line.split(None, 2) for line in lines[1:])]
    nodes = {pid for pid, parent, _ in table if parent == os.getpid()}
    return [pid for pid, parent, rest in table if parent in nodes and "ray::call" in rest]


def test_workers_killed_in_the_middle_cost_nothing_that_was_finished(calm, tmp_path):
    class Killer:
        def __init__(self):
            self.killed, self.over = 0, threading.Event()

        def work(self):
            while not self.over.wait(0.3) and self.killed < 3:
                for pid in workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    self.killed += 1

        @hookimpl
        def automl_study_finished(self):
            self.over.set()

    killer = Killer()
    thread = threading.Thread(target=killer.work)
    thread.start()
    engine = fit(tmp_path, "ray", [killer])
    thread.join()
    assert killer.killed > 0
    assert rows(engine) == rows(calm)


SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from automl_core import hookimpl
import test_ray
class Death:
    done = 0
    @hookimpl
    def automl_trial_finished(self, trial):
        self.done += 1
        if self.done == 2:
            os.kill(os.getpid(), 9)
test_ray.fit(sys.argv[1], "ray", [Death()])
"""


@pytest.mark.slow
def test_driver_killed_and_started_again_goes_on(calm, tmp_path):
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "a")], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    engine = fit(tmp_path / "a", "ray")
    finished = {row["name"]: row["score"] for row in engine.leaderboard()}
    assert finished.keys() == {row["name"] for row in calm.leaderboard()}
    # What the first run finished; later ones start from other importances of columns than in a calm run.
    for name in ("lightgbm#0", "sklearn.linear#1"):
        assert finished[name] == next(row["score"] for row in calm.leaderboard() if row["name"] == name)
