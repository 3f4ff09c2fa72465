"""Fit XGBoost on an encoded table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xgboost as xgb

from automl_core import MULTICLASS, REGRESSION, TASKS, Candidate, Job, Learner, Space
from automl_xgboost.model import XGBoostModel
from automl_xgboost.portfolio import make_portfolio, make_space
from automl_xgboost.quantiles import Quantiles, feature_types

if TYPE_CHECKING:
    from automl_core import Column

__all__ = ["XGBoostLearner"]

MAX_ROUNDS = 10_000
DEFAULT_ROUNDS = 200
OBJECTIVES = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "squared_error": ("reg:squarederror", "rmse"),
    "absolute_error": ("reg:absoluteerror", "mae"),
    "quantile": ("reg:quantileerror", "quantile"),
}


class XGBoostLearner(Learner):
    """Gradient boosting by second-order splits (Chen and Guestrin 2016); categories and missing values natively."""

    tasks = TASKS

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        self._quantiles = Quantiles()
        self._space = make_space()

    def space(self, task: str) -> Space:
        return self._space

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return make_portfolio(rows)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """Quantile matrices of a few folds, gradients of every class, and histograms."""
        return 50_000_000 + 4 * rows * columns * 2 + rows * max(classes, 1) * 16 + 256 * columns * 64 * 16

    def fit(self, job: Job) -> XGBoostModel:
        """Fit until the loss of the valid rows has not improved for long, for `job.rounds`, or until time is out."""
        started = time.monotonic()
        self._space.check(job.params)
        train, valid = self._quantiles.matrices(job.data, job.train, job.valid, job.threads)
        watch = Watch(started, job)
        booster = xgb.train(
            self._parameters(job),
            train,
            job.rounds or (DEFAULT_ROUNDS if valid is None else MAX_ROUNDS),
            evals=[] if valid is None else [(valid, "valid")],
            verbose_eval=False,
            callbacks=[watch],
        )
        return XGBoostModel(
            bytes(booster.save_raw("ubj")),
            tuple(feature_types(job.data)),
            job.classes,
            rounds=watch.best if watch.curve else booster.num_boosted_rounds(),
            curve=tuple(watch.curve),
            threads=job.threads,
        )

    def _parameters(self, job: Job) -> dict[str, Any]:
        word = job.objective.partition(":")[0] if job.task == REGRESSION else job.task
        objective, metric = OBJECTIVES.get(word, OBJECTIVES["squared_error"])
        params: dict[str, Any] = {
            "verbosity": 0,
            "device": self.device,
            "tree_method": "hist",
            "nthread": job.threads,
            "seed": job.seed,
            "objective": objective,
            "eval_metric": metric,
            **job.params,
        }
        if word == "quantile":
            params["quantile_alpha"] = float(job.objective.partition(":")[2])
        if job.task == MULTICLASS:
            params["num_class"] = job.classes
        if any(column.monotone for column in job.data.columns):
            params["monotone_constraints"] = tuple(column.monotone for column in job.data.columns)
        return params


class Watch(xgb.callback.TrainingCallback):  # type: ignore[misc]
    """Stops when time is out, or when the valid loss has not improved for long enough."""

    def __init__(self, started: float, job: Job) -> None:
        super().__init__()
        self.curve: list[float] = []
        self.best = 0
        self._deadline = None if job.seconds is None else started + job.seconds
        # AutoGluon's patience: 300 rounds up to 10,000 rows, fewer beyond.
        self._most = 300 if len(job.train) <= 10_000 else max(20, round(300 * 10_000 / len(job.train)))
        self._fixed = job.rounds is not None

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if evals_log:
            self.curve.append(float(next(iter(evals_log["valid"].values()))[-1]))
            if self.best == 0 or self.curve[-1] < self.curve[self.best - 1]:
                self.best = len(self.curve)
            patience = min(self._most, max(30, round(0.3 * self.best + 20)))
            if not self._fixed and len(self.curve) - self.best > patience:
                return True
        return self._deadline is not None and time.monotonic() > self._deadline
