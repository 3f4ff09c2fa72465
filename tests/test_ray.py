"""A study on Ray, killed and not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl.cli.app import cli
from automl_core import decode, hookimpl
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


@pytest.mark.parametrize("named", [{"AUTOML_EXECUTOR": "ray"}, {"AUTOML_SEARCH": "raytune"}, {}])
def test_doctor_looks_at_the_cluster_of_executor_or_search(tmp_path, named):
    light = {
        "AUTOML_LEARNERS": "",
        "AUTOML_EXECUTOR": "serial",
        "AUTOML_SEARCH": "random",
        "AUTOML_DIRECTORY": str(tmp_path),
        **named,
    }
    told = CliRunner().invoke(cli, ["doctor", "--json", "--for", "training"], env=light).stdout
    (found,) = (finding for finding in json.loads(told)["findings"] if finding["check"] == "Ray cluster")
    if named:
        assert (found["state"], found["said"]) == ("warning", "2 CPUs of this machine only")
    else:
        assert (found["state"], found["said"]) == ("not configured", "executor is serial, search is random")


def workers(title: str = "ray::call") -> list[int]:
    """Return the processes that run a fit now: grandchildren of this one, by the node that it started."""
    lines = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    table = [(int(pid), int(parent), rest) for pid, parent, rest in (line.split(None, 2) for line in lines[1:])]
    nodes = {pid for pid, parent, _ in table if parent == os.getpid()}
    return [pid for pid, parent, rest in table if parent in nodes and title in rest]


class Killer:
    """Kills workers until the study is over, so many at most."""

    def __init__(self, title, most):
        self.title, self.most = title, most
        self.killed, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.over.wait(0.3) and self.killed < self.most:
            for pid in workers(self.title)[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed += 1

    @hookimpl
    def automl_study_started(self):
        self.thread.start()

    @hookimpl
    def automl_study_finished(self):
        self.over.set()
        self.thread.join()


def test_workers_killed_in_the_middle_cost_nothing_that_was_finished(calm, tmp_path):
    killer = Killer("ray::call", 3)
    engine = fit(tmp_path, "ray", [killer])
    assert killer.killed > 0
    assert rows(engine) == rows(calm)


SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from automl_core import encode, hookimpl
import test_ray
class Death:
    done = 0
    @hookimpl
    def automl_trial_finished(self, trial):
        self.done += trial.state == "complete"
        print(encode(trial).decode(), flush=True)
        if self.done == 2:
            os.kill(os.getpid(), 9)
test_ray.{fit}
"""


def die(tmp_path, fit):
    """Run a study in a process of its own that dies after two trials, and return them."""
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), fit=fit))
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "a")], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    return [decode(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_driver_killed_and_started_again_goes_on(calm, tmp_path):
    die(tmp_path, 'fit(sys.argv[1], "ray", [Death()])')
    engine = fit(tmp_path / "a", "ray")
    scores, expected = ({row["name"]: row["score"] for row in run.leaderboard()} for run in (engine, calm))
    assert scores == expected


# ---- the search that Ray Tune drives

TRIALS = 8


def tune(folder, listeners=(), *, executor="serial", **given):
    from automl_ray.optimizer import RayTuneOptimizer
    from automl_ray.settings import RayTuneSettings

    given = {"max_concurrent_trials": 1, "scheduler": "fifo", "num_samples": TRIALS, **given}
    settings = load_settings(executor=executor, learners=("sklearn.linear",), directory=str(folder))
    engine = AutoML(
        time_limit=None, max_trials=2 * TRIALS, folds=3, n_jobs=2, settings=settings, listeners=listeners,
        optimizer=RayTuneOptimizer(RayTuneSettings(**given)),
    )  # fmt: skip
    return engine.fit(X[:300], Y[:300])


class Ledger:
    """Keeps the trials that ended."""

    def __init__(self):
        self.trials = []

    @hookimpl
    def automl_trial_finished(self, trial):
        self.trials.append(trial)


def by_params(engine):
    return {str(row["params"]): row["score"] for row in engine.leaderboard() if row["learner"] != "ensemble"}


def test_trials_of_ray_tune_are_those_of_the_study(tmp_path):
    ledger, killer = Ledger(), Killer("ray::ImplicitFunc", 1)
    engine = tune(tmp_path, [ledger, killer])
    assert [trial.state for trial in ledger.trials] == ["complete"] * TRIALS
    assert {trial.origin for trial in ledger.trials} == {"portfolio", "search"}
    assert killer.killed == 1
    assert len(by_params(engine)) == TRIALS
    assert engine.score(X[300:], Y[300:]) > 0.9
    # A fit is the same wherever it runs.
    settings = load_settings(executor="serial", learners=("sklearn.linear",), directory=str(tmp_path))
    here = AutoML(time_limit=None, max_trials=1, folds=3, n_jobs=1, settings=settings).fit(X[:300], Y[:300])
    ((params, score),) = by_params(here).items()
    assert by_params(engine)[params] == score


def test_trials_that_asha_stopped_are_told_and_cost_less(tmp_path):
    ledger = Ledger()
    engine = tune(tmp_path, [ledger], scheduler="asha", search_algorithm="random")
    stopped = [trial for trial in ledger.trials if trial.state == "pruned"]
    assert 0 < len(stopped) < len(ledger.trials) == TRIALS
    assert all(trial.error == "stopped after 1 of 3 steps" and trial.seconds > 0 for trial in stopped)
    assert engine.leaderboard()[0]["learner"] == "ensemble"
    assert engine.score(X[300:], Y[300:]) > 0.9


@pytest.mark.slow
def test_driver_of_ray_tune_killed_and_started_again_goes_on(tmp_path):
    done = die(tmp_path, "tune(sys.argv[1], [Death()])")
    assert len(done) == 2
    ledger = Ledger()
    tune(tmp_path / "a", [ledger])
    assert len({str(trial.params) for trial in ledger.trials}) == len(ledger.trials) == TRIALS
    # Those were not fitted again: their seconds are those of then.
    assert [(t.params, t.seconds) for t in ledger.trials[:2]] == [(t.params, t.seconds) for t in done]
