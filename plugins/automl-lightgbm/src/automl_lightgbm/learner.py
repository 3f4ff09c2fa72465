"""Fit LightGBM on an encoded table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from automl_core import MULTICLASS, REGRESSION, TASKS, Candidate, Job, Learner, Space
from automl_lightgbm.binned import Binned
from automl_lightgbm.model import LightGBMModel
from automl_lightgbm.portfolio import make_portfolio, make_space

if TYPE_CHECKING:
    from automl_core import Column

__all__ = ["LightGBMLearner"]

MAX_ROUNDS = 10_000
DEFAULT_ROUNDS = 200
OBJECTIVES = {"squared_error": "l2", "absolute_error": "l1"}
METRICS = {"binary": "binary_logloss", "multiclass": "multi_logloss", "l2": "rmse", "l1": "l1", "quantile": "quantile"}
WIDE = 200  # columns from which on histograms are built by column


class LightGBMLearner(Learner):
    """Gradient boosting with leaf-wise trees (Ke et al. 2017); categories and missing values natively."""

    tasks = TASKS

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        self._binned = Binned()
        self._space = make_space()

    def space(self, task: str) -> Space:
        return self._space

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return make_portfolio(rows)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """As AutoGluon estimates: the binned table, its gradients, and histograms of the leaves."""
        histograms = 20 * 255 * columns * 64 * 2
        return 50_000_000 + rows * columns * 2 + rows * max(classes, 1) * 24 + histograms

    def fit(self, job: Job) -> LightGBMModel:
        """Fit until the loss of the valid rows has not improved for long, for `job.rounds`, or until time is out."""
        started = time.monotonic()
        self._space.check(job.params)
        params = self._parameters(job)
        whole = self._binned.whole(job.data, params)
        watch = Watch(started, job)
        train = whole.subset(np.sort(job.train))
        valid = [] if job.valid is None else [whole.subset(np.sort(job.valid))]
        rounds = job.rounds or (DEFAULT_ROUNDS if job.valid is None else MAX_ROUNDS)
        booster = lgb.train(
            params, train, rounds, valid_sets=valid, valid_names=["valid"] if valid else None, callbacks=[watch]
        )
        booster.free_dataset()
        return LightGBMModel(
            booster.model_to_string(num_iteration=-1),
            job.classes,
            rounds=watch.best if watch.curve else booster.current_iteration(),
            curve=tuple(watch.curve),
            threads=job.threads,
        )

    def _parameters(self, job: Job) -> dict[str, Any]:
        objective = _objective(job)
        params: dict[str, Any] = {
            "verbosity": -1,
            "device_type": self.device,
            "num_threads": job.threads,
            "seed": job.seed,
            "deterministic": True,
            "feature_pre_filter": False,
            "bagging_freq": 1,
            "metric": METRICS[objective],
            "objective": objective,
            **job.params,
        }
        # Without one of these LightGBM times both at every start, and its choice would depend on the clock.
        params["force_col_wise" if len(job.data.columns) > WIDE else "force_row_wise"] = True
        if objective == "quantile":
            params["alpha"] = float(job.objective.partition(":")[2])
        if job.task == MULTICLASS:
            params["num_class"] = job.classes
        if any(column.monotone for column in job.data.columns):
            params["monotone_constraints"] = [column.monotone for column in job.data.columns]
        return params


def _objective(job: Job) -> str:
    if job.task != REGRESSION:
        return job.task
    word = job.objective.partition(":")[0]
    return "quantile" if word == "quantile" else OBJECTIVES.get(word, "l2")


class Watch:
    """Stops when time is out, or when the valid loss has not improved for long enough."""

    order = 0
    before_iteration = False

    def __init__(self, started: float, job: Job) -> None:
        self.curve: list[float] = []
        self.best = 0
        self._deadline = None if job.seconds is None else started + job.seconds
        # AutoGluon's patience: 300 rounds up to 10,000 rows, fewer beyond.
        self._most = 300 if len(job.train) <= 10_000 else max(20, round(300 * 10_000 / len(job.train)))
        self._fixed = job.rounds is not None

    def __call__(self, env: Any) -> None:
        if env.evaluation_result_list:
            loss = float(env.evaluation_result_list[0][2])
            self.curve.append(loss)
            if self.best == 0 or loss < self.curve[self.best - 1]:
                self.best = len(self.curve)
            patience = min(self._most, max(30, round(0.3 * self.best + 20)))
            if not self._fixed and len(self.curve) - self.best > patience:
                raise lgb.callback.EarlyStopException(self.best - 1, env.evaluation_result_list)
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise lgb.callback.EarlyStopException(env.iteration, env.evaluation_result_list)
