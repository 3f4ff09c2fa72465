from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from automl_core.testing.fakes import installed

# importlib mode puts no folder of tests on the path: what the tests here share is imported by name.
sys.path.insert(0, str(Path(__file__).parent))
# The programs of this environment are found, whether it was activated or not.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

LEARNERS = '''
import time
import numpy as np
from automl_core import TASKS, Learner, Provider, Space, Float, hookimpl

class Fitted:
    rounds = None
    def __init__(self, weight, task):
        self.weight, self.task = weight, task
    def predict(self, values):
        raw = np.nan_to_num(values).astype(float) @ self.weight
        if self.task == "regression":
            return raw
        p = 1 / (1 + np.exp(-raw))
        return np.column_stack([1 - p, p])

class Linear(Learner):
    """Least squares, ridged; `how` says what goes wrong."""
    tasks = TASKS - {"multiclass"}
    def __init__(self, how):
        self.how = how
    def space(self, task):
        return Space({"ridge": Float(0.01, 100.0, log=True)})
    def fit(self, job):
        if self.how == "crashes":
            raise RuntimeError("out of luck")
        if self.how == "hangs":
            time.sleep(30)
        if self.how == "slow":
            time.sleep(3.5)
        if self.how == "exits":
            raise SystemExit(3)
        X = np.nan_to_num(job.data.values[job.train]).astype(float)
        y = job.data.target[job.train]
        y = y if job.task == "regression" else 4 * y - 2
        ridge = job.params.get("ridge", 1.0)
        weight = np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ y)
        return Fitted(weight * (np.nan if self.how == "nan" else 1), job.task)

def make(how):
    return lambda context: Linear(how)

@hookimpl
def automl_learners():
    for how in ("works", "crashes", "hangs", "slow", "nan", "exits"):
        yield Provider(how, make(how), "A learner for tests.")
'''


@pytest.fixture
def odd_learners(tmp_path: Path):
    """Install the plugin `odd`, whose learners work, crash, hang, are slow, exit or predict NaN."""
    with installed(tmp_path / "site", "odd", "odd_learners", source=LEARNERS):
        yield


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    y = (X[:, 0] - X[:, 1] + rng.normal(0, 0.5, 400) > 0).astype(int)
    return X, y
