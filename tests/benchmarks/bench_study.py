"""The study's own cost per trial, beside the same loop on bare Optuna, without and with a pool of the same kind.

Run: python -m pytest -s -m benchmark tests/benchmarks/bench_study.py
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, Executor, ThreadPoolExecutor, wait
from operator import add

import numpy as np
import optuna
import pytest
from loky import ProcessPoolExecutor

from automl import AutoML
from automl_core.settings import load_settings
from automl_core.testing.fakes import installed

TRIALS, ROUNDS, WORKERS = 200, 3, 2
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


POOLS = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}


def make_optuna() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # multivariate is marked experimental
        # The sampler that automl-optuna uses: what is compared is the study around it.
        return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, group=True))


def time_optuna() -> float:
    study = make_optuna()
    started = time.perf_counter()
    study.optimize(lambda trial: add(*suggest(trial)), n_trials=TRIALS)
    return (time.perf_counter() - started) / TRIALS


def time_optuna_on(pool: Executor) -> float:
    """Time the loop that Optuna's guide has for pools: ask, submit, wait, tell."""
    study, running = make_optuna(), {}
    pool.submit(add, 0, 0).result()
    started = time.perf_counter()
    for _ in range(TRIALS):
        if len(running) == WORKERS:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                study.tell(running.pop(future), future.result())
        trial = study.ask()
        running[pool.submit(add, *suggest(trial))] = trial
    for future, trial in running.items():
        study.tell(trial, future.result())
    return (time.perf_counter() - started) / TRIALS


def suggest(trial: optuna.Trial) -> tuple[float, float]:
    return trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)


@pytest.mark.benchmark
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_cost_of_a_trial(tmp_path, executor):
    X, y = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32), np.arange(200) % 2
    times: dict[str, list[float]] = defaultdict(list)
    with installed(tmp_path, "nothing", "nothing_plugin", source=NOTHING):
        settings = load_settings(
            learners=("nothing",), executor=executor, search="optuna", directory=str(tmp_path / "automl")
        )
        options = {"time_limit": None, "n_jobs": WORKERS, "folds": 1, "settings": settings}
        AutoML(max_trials=2, **options).fit(X, y)  # imports and the start of workers do not count
        for _ in range(ROUNDS):
            few, many = (_time(options, trials, X, y) for trials in (2, TRIALS + 2))
            times["ours"].append((many - few) / TRIALS)
            times["Optuna"].append(time_optuna())
            if executor in POOLS:
                with POOLS[executor](WORKERS) as pool:
                    times["Optuna on a pool"].append(time_optuna_on(pool))
    best = {name: min(found) for name, found in times.items()}
    print(f"\n{executor}: {1e3 * best.pop('ours'):.2f} ms a trial; ratio to", end=" ")
    print("; ".join(f"{name} {1e3 * each:.2f} ms: {min(times['ours']) / each:.2f}" for name, each in best.items()))


def _time(options, trials, X, y):
    started = time.perf_counter()
    AutoML(max_trials=trials, **options).fit(X, y)
    return time.perf_counter() - started
