"""Fit CatBoost on an encoded table."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import catboost as cb
import numpy as np

from automl_catboost.constant import ConstantModel, fit_constant, is_constant
from automl_catboost.model import CatBoostModel, save
from automl_catboost.pools import Pools
from automl_catboost.portfolio import make_defaults, make_portfolio, make_space
from automl_catboost.tuples import Rows, Tuples
from automl_catboost.watch import Watch
from automl_core import MULTICLASS, REGRESSION, TASKS, Candidate, Column, Job, Learner, Model, Space

__all__ = ["CatBoostLearner"]

MAX_ROUNDS = 10_000
DEFAULT_ROUNDS = 200
EXACT = ("MAE", "Quantile")  # losses whose leaves CatBoost computes exactly, in one step


class CatBoostLearner(Learner):
    """Gradient boosting with oblivious trees and ordered target statistics (Prokhorenkova et al. 2018).

    Categories and missing values natively: a missing category is one of its own, a missing number is below all others.
    """

    tasks = TASKS
    objectives = frozenset({"absolute_error", "quantile"})

    def __init__(self) -> None:
        self._pools = Pools()
        self._space = make_space()

    def space(self, task: str) -> Space:
        return self._space

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return make_portfolio(task, rows, columns)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """As AutoGluon estimates: CatBoost's start, the quantised table, its gradients, histograms of the leaves."""
        outputs = max(classes, 1)
        return 400_000_000 + rows * columns * 2 + rows * outputs * 40 + 64 * 255 * columns * outputs * 16

    def fit(self, job: Job) -> CatBoostModel | ConstantModel:
        """Fit until the loss of the valid rows has not improved for long, for `job.rounds`, or until time is out."""
        started = time.monotonic()
        self._space.check(job.params)
        if is_constant(job):
            return fit_constant(job)
        params = _parameters(job)
        whole = self._pools.whole(job.data, params.pop("border_count"), job.threads)
        target = job.data.target
        train = np.sort(job.train)
        present = np.unique(target[train])
        valid = None if job.valid is None else np.sort(job.valid)
        if valid is not None and job.task != REGRESSION:
            valid = valid[np.isin(target[valid], present)]
        watch = Watch(started, job)
        booster = cb.CatBoost(params)
        booster.fit(
            whole.slice(train),
            eval_set=None if valid is None or not len(valid) else whole.slice(valid),
            callbacks=[watch],
        )
        return CatBoostModel(
            booster,
            columns=job.data.columns,
            classes=job.classes,
            present=() if job.task == REGRESSION else tuple(int(one) for one in present),
            rounds=watch.best if watch.curve and job.rounds is None else booster.tree_count_,
            curve=tuple(watch.curve),
            tuples=Tuples(Rows(job.data.values, train, job.data.columns)),
            threads=job.threads,
        )

    # ---- its own format

    def dump(self, model: Model) -> bytes:
        """Return a line of JSON and CatBoost's binary model."""
        if isinstance(model, ConstantModel):
            return json.dumps({"answer": model.answer, "columns": model.columns}).encode() + b"\n"
        if not isinstance(model, CatBoostModel):
            raise TypeError(f"a {type(model).__name__} is no model of CatBoost's learner")
        head = {
            "columns": [[column.name, column.categories, column.monotone] for column in model.columns],
            "classes": model.classes,
            "present": model.present,
            "rounds": model.rounds,
            "curve": model.curve,
        }
        return json.dumps(head).encode() + b"\n" + save(model.booster, "cbm")

    def load(self, data: bytes) -> Model:
        """Return what `dump` wrote. Its statistics cannot be exported any more: nothing knows their combinations."""
        line, _, blob = data.partition(b"\n")
        try:
            head = json.loads(line)
            if "answer" in head:
                return ConstantModel(tuple(head["answer"]), head["columns"])
            booster = cb.CatBoost()
            booster.load_model(blob=blob)
            return CatBoostModel(
                booster,
                columns=tuple(Column(*column) for column in head["columns"]),
                classes=head["classes"],
                present=tuple(head["present"]),
                rounds=head["rounds"],
                curve=tuple(head["curve"]),
                tuples=None,
            )
        except (ValueError, TypeError, KeyError, AttributeError, cb.CatBoostError) as error:
            raise ValueError(f"these {len(data)} bytes are no model of CatBoost's learner: {error}") from error


def _parameters(job: Job) -> dict[str, Any]:
    loss = _loss(job)
    params: dict[str, Any] = {
        # Without valid rows no loss is needed, and that of the train rows costs a pass over them each round.
        "loss_function": loss,
        "eval_metric": f"{loss}{';' if ':' in loss else ':'}hints=skip_train~true",
        "iterations": job.rounds or (DEFAULT_ROUNDS if job.valid is None else MAX_ROUNDS),
        "boosting_type": "Plain",
        "use_best_model": False,
        "random_seed": job.seed % 2**31,
        "thread_count": job.threads,
        "logging_level": "Silent",
        "allow_writing_files": False,
        **make_defaults(job.task, len(job.data.target), len(job.data.columns), job.classes),
        **job.params,
    }
    if "subsample" in params:
        params["bootstrap_type"] = "Bernoulli"
    if loss.startswith(EXACT):
        params.pop("leaf_estimation_iterations", None)
    monotone = {str(place): column.monotone for place, column in enumerate(job.data.columns) if column.monotone}
    if monotone and job.task != MULTICLASS:
        params["monotone_constraints"] = monotone
        # A statistic of a category and a border of the column would go up and down with it, and CatBoost constrains
        # oblivious trees alone.
        params |= {"max_ctr_complexity": 1, "grow_policy": "SymmetricTree"}
        for name in ("max_leaves", "min_data_in_leaf"):
            params.pop(name, None)
    return params


def _loss(job: Job) -> str:
    if job.task != REGRESSION:
        return "MultiClass" if job.task == MULTICLASS else "Logloss"
    word, _, level = job.objective.partition(":")
    if word == "quantile":
        return f"Quantile:alpha={float(level)}"
    return "MAE" if word == "absolute_error" else "RMSE"
