"""The study's own cost per trial, beside the same loop on bare Optuna.

Run: python -m pytest -s -m benchmark tests/benchmarks/bench_study.py
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

from automl import AutoML
from automl_core.settings import load_settings
from automl_core.testing.fakes import installed

TRIALS = 200
NOTHING = """
import numpy as np
from automl_core import TASKS, Float, Learner, Provider, Space, hookimpl

class Mean:
    rounds = None
    def predict(self, values):
        return np.full((len(values), 2), 0.5)

class Nothing(Learner):
    tasks = TASKS
    def space(self, task):
        return Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    def fit(self, job):
        return Mean()

@hookimpl
def automl_learners():
    yield Provider("nothing", lambda context: Nothing(), "Does nothing.")
"""


def time_optuna() -> float:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")  # multivariate is marked experimental
    # The sampler that automl-optuna uses: what is compared is the study around it.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, group=True))
    started = time.perf_counter()
    study.optimize(lambda t: t.suggest_float("x", 0, 1) + t.suggest_float("y", 0, 1), n_trials=TRIALS)
    return (time.perf_counter() - started) / TRIALS


@pytest.mark.benchmark
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_cost_of_a_trial(tmp_path, executor):
    X, y = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32), np.arange(200) % 2
    with installed(tmp_path, "nothing", "nothing_plugin", source=NOTHING):
        settings = load_settings(
            learners=("nothing",), executor=executor, search="optuna", directory=str(tmp_path / "automl")
        )
        options = {"time_limit": None, "n_jobs": 2, "folds": 1, "settings": settings}
        AutoML(max_trials=2, **options).fit(X, y)  # imports and the start of workers do not count
        few, many = (_time(options, trials, X, y) for trials in (2, TRIALS + 2))
    bare = time_optuna()
    ours = (many - few) / TRIALS
    print(f"\n{executor}: {1e3 * ours:.2f} ms a trial, Optuna alone {1e3 * bare:.2f} ms: ratio {ours / bare:.2f}")


def _time(options, trials, X, y):
    started = time.perf_counter()
    AutoML(max_trials=trials, **options).fit(X, y)
    return time.perf_counter() - started
