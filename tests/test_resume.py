"""A study that is killed goes on where it stopped."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import json, logging, sys
import numpy as np
from sklearn.datasets import load_breast_cancer
from automl import AutoML
from automl.study import frame
from automl_core.settings import load_settings

directory, log = sys.argv[1:3]
X, y = load_breast_cancer(return_X_y=True)
settings = load_settings(learners=("lightgbm", "sklearn.linear", "sklearn.perceptron"), search="random", directory=directory)
fit_part = frame.fit_part

def spy(shared, order):
    fitted = fit_part(shared, order)
    with open(log, "a") as file:
        file.write(f"{order.learner.__class__.__name__} {sorted(order.params.items())} {order.view} {order.part}\\n")
    return fitted

import automl.study.loop as loop
loop.fit_part = spy
engine = AutoML(time_limit=None, max_trials=10, n_jobs=2, settings=settings).fit(X[:400], y[:400])
print(json.dumps({"score": engine.score(X[400:], y[400:]), "proba": engine.predict_proba(X[400:410])[:, 1].tolist()}))
"""


def run(folder: Path, script: Path, log: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_study_killed_twenty_times_ends_as_one_that_was_not(tmp_path):
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)
    calm_out, calm_err = run(tmp_path / "calm", script, tmp_path / "calm.log").communicate(timeout=300)
    assert calm_out, calm_err
    luck, kills = random.Random(7), 0
    started = time.monotonic()
    log = tmp_path / "killed.log"
    while True:
        process = run(tmp_path / "killed", script, log)
        try:
            # Half of the runs are killed as soon as they have fitted something more, the others at any time.
            before = log.read_text().count("\n") if log.exists() else 0
            until = time.monotonic() + (luck.uniform(1.0, 4.0) if kills % 2 else 30)
            while kills < 20 and process.poll() is None and time.monotonic() < until:
                if not kills % 2 and log.exists() and log.read_text().count("\n") > before + luck.randint(0, 2):
                    break
                time.sleep(0.02)
            if kills < 20 and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
                process.communicate()
                continue
            out, err = process.communicate(timeout=300)
            break
        finally:
            if process.poll() is None:
                process.kill()
        assert time.monotonic() - started < 500
    assert out, err
    assert kills == 20
    calm, killed = json.loads(calm_out), json.loads(out)
    assert killed["score"] == pytest.approx(calm["score"], abs=1e-9)
    assert killed["proba"] == pytest.approx(calm["proba"], abs=1e-6)
    # A fit that was in flight when the process died is fitted again; one that finished is not. Each kill can cost the
    # one fit per slot that had finished but was not on record yet.
    fits = log.read_text().splitlines()
    assert len(fits) - len(set(fits)) <= 2 * kills


LATE = """
import json, os, signal, sys
from sklearn.datasets import load_breast_cancer
from automl import AutoML
from automl.study import frame, loop, run
from automl_core.settings import load_settings

directory, log = sys.argv[1:3]
X, y = load_breast_cancer(return_X_y=True)
settings = load_settings(learners=("lightgbm", "sklearn.linear"), directory=directory)
fit_part = frame.fit_part

def spy(shared, order):
    fitted = fit_part(shared, order)
    with open(log, "a") as file:
        file.write(f"{order.learner.__class__.__name__} {sorted(order.params.items())} {order.view} {order.part}\\n")
    return fitted

loop.fit_part = spy
if not os.path.exists(directory + "/killed"):
    def finish(*args, **kwargs):
        open(directory + "/killed", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    run.finish = finish
engine = AutoML(time_limit=8, n_jobs=2, settings=settings).fit(X[:400], y[:400])
tried = sum(row["state"] == "complete" for row in engine.leaderboard())
print(json.dumps({"score": engine.score(X[400:], y[400:]), "tried": tried}))
"""


@pytest.mark.slow
def test_a_study_killed_when_its_time_was_up_ends_with_what_it_had(tmp_path):
    script, log = tmp_path / "study.py", tmp_path / "log"
    script.write_text(LATE)
    first = run(tmp_path / "directory", script, log)
    first.communicate(timeout=100)
    assert first.returncode == -signal.SIGKILL
    fitted = log.read_text().splitlines()
    out, err = run(tmp_path / "directory", script, log).communicate(timeout=100)
    assert out, err
    assert not set(fitted) & set(log.read_text().splitlines()[len(fitted) :])
    found = json.loads(out)
    assert found["score"] > 0.9
    assert found["tried"] >= 1
