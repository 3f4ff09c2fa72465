"""Fit LightGBM on an encoded table."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import lightgbm as lgb

from automl_core import MULTICLASS, REGRESSION, TASKS, Candidate, DataError, Job, Learner, Model, Space
from automl_lightgbm.binned import BINNING, Binned, Target, bin_rows, take
from automl_lightgbm.collective import Collective
from automl_lightgbm.meeting import join, meet
from automl_lightgbm.model import LightGBMModel
from automl_lightgbm.portfolio import make_portfolio, make_space
from automl_lightgbm.stopping import TogetherWatch, Watch
from automl_lightgbm.stream import bin_source

if TYPE_CHECKING:
    from automl_core import Column

__all__ = ["LightGBMLearner"]

MAX_ROUNDS = 10_000
DEFAULT_ROUNDS = 200
OBJECTIVES = {"squared_error": "l2", "absolute_error": "l1"}
METRICS = {"binary": "binary_logloss", "multiclass": "multi_logloss", "l2": "rmse", "l1": "l1", "quantile": "quantile"}
HISTOGRAMS = 512  # MiB that histograms of a fit may take; a thousand columns and 255 leaves would take twice that


class LightGBMLearner(Learner):
    """Gradient boosting with leaf-wise trees (Ke et al. 2017); categories and missing values natively."""

    tasks = TASKS
    objectives = frozenset({"absolute_error", "quantile"})

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        self._binned = Binned()
        self._space = make_space()

    def close(self) -> None:
        self._binned = Binned()

    def space(self, task: str) -> Space:
        return self._space

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return make_portfolio(task, rows)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """Bins of the table and of the rows at hand; gradients and scores of every class; histograms."""
        histograms = min(16 * 256 * columns * 255, HISTOGRAMS << 20)
        return 50_000_000 + 3 * rows * columns + 40 * rows * max(classes, 1) + histograms

    def fit(self, job: Job) -> LightGBMModel:
        """Fit until the loss of the valid rows has not improved for long, for `job.rounds`, or until time is out."""
        started = time.monotonic()
        self._space.check(job.params)
        target = Target.of(job.data.target[job.train]) if job.task == REGRESSION else Target()
        whole = self._binned.whole(job.data, job.threads)
        train = take(whole, job.data, job.train, target)
        valid = None if job.valid is None else take(whole, job.data, job.valid, target)
        watch = Watch(job, started, scale=target.scale)
        return _model(job, self._train(job, train, valid, watch, None), watch, target)

    def resume(self, model: Model, job: Job) -> LightGBMModel:
        """Fit further rounds on top of `model`; its columns, classes and objective must be those of the job.

        Raises:
            ValueError: the model is not one of LightGBM, or is of another task.
        """
        started = time.monotonic()
        self._space.check(job.params)
        if not isinstance(model, LightGBMModel) or model.classes != job.classes:
            raise ValueError(f"cannot go on from {model!r}: it is no LightGBM model of {job.classes} classes")
        # LightGBM needs the values themselves here, for what the earlier trees say of them.
        train = bin_rows(job.data, job.train, job.threads, target=model.target)
        valid = None
        if job.valid is not None:
            valid = bin_rows(job.data, job.valid, job.threads, target=model.target, reference=train)
        watch = Watch(job, started)
        earlier = lgb.Booster(model_str=model.booster.model_to_string(num_iteration=model.rounds))
        booster = self._train(job, train, valid, watch, earlier)
        every = job.rounds is not None or not watch.curve
        rounds = booster.current_iteration() if every else model.rounds + watch.best
        return LightGBMModel(_text(booster), job.classes, rounds, (), model.target, job.threads)

    def fit_distributed(self, source: Any, job: Job) -> LightGBMModel:
        """Fit on all rows of a source; in bins they take a byte for each value, and nothing else of them is kept.

        Args:
            source: `rows` in all, in batches of (float32 values, float64 target, weight or None); see
                `automl_core.Distributed`.
            job: its training rows, a sample of the source, decide the bins.
        """
        started = time.monotonic()
        self._space.check(job.params)
        train, target, valid = bin_source(source, job)
        watch = Watch(job, started, scale=target.scale)
        return _model(job, self._train(job, train, valid, watch, None), watch, target)

    def meet(self, members: int, host: str) -> AbstractContextManager[Mapping[str, Any]]:
        """Open a place where members tell each other their addresses; see `automl_core.FitsTogether`."""
        return meet(members, host)

    def fit_together(self, source: Any, job: Job, place: Mapping[str, Any]) -> LightGBMModel:
        """Fit on the rows of all members, whose histograms are summed; see `automl_core.FitsTogether`.

        Raises:
            RuntimeError: another member was lost.
        """
        started = time.monotonic()
        self._space.check(job.params)
        with join(place) as peers:
            train, target, valid = bin_source(source, job)
            collective = Collective(peers)
            watch = TogetherWatch(job, started, collective, scale=target.scale)
            with collective.lend():
                booster = self._train(job, train, valid, watch, None, members=collective.members)
        return _model(job, booster, watch, target)

    def _train(
        self,
        job: Job,
        train: lgb.Dataset,
        valid: lgb.Dataset | None,
        watch: Watch,
        earlier: lgb.Booster | None,
        members: int = 1,
    ) -> lgb.Booster:
        together = {"num_machines": members, "tree_learner": "data"} if members > 1 else {}
        return lgb.train(
            {**self._parameters(job), **together},
            train,
            job.rounds or (DEFAULT_ROUNDS if valid is None else MAX_ROUNDS),
            valid_sets=None if valid is None else [valid],
            valid_names=["valid"],
            init_model=earlier,
            callbacks=[watch],
            keep_training_booster=True,  # else the model is written and read once more
        )

    def _parameters(self, job: Job) -> dict[str, Any]:
        objective, alpha = _objective(job)
        params: dict[str, Any] = {
            **BINNING,
            "device_type": self.device,
            "num_threads": job.threads,
            "seed": job.seed % 2**31,
            "deterministic": True,
            "bagging_freq": 1,
            "histogram_pool_size": HISTOGRAMS,
            "objective": objective,
            "metric": METRICS[objective],
            **job.params,
        }
        if self.device == "cpu":
            # Without a choice LightGBM times both ways at every start, and the model would depend on the clock. By row
            # was never faster on one thread, from 1,000 x 8 to 5,000 x 500, and copies the rows.
            params["force_col_wise"] = True
        if alpha is not None:
            params["alpha"] = alpha
        if job.task == MULTICLASS:
            params["num_class"] = job.classes
        if any(column.monotone for column in job.data.columns):
            params["monotone_constraints"] = [column.monotone for column in job.data.columns]
        return params


def _objective(job: Job) -> tuple[str, float | None]:
    """Return LightGBM's word, and the quantile where it is one.

    Leaves of absolute errors and quantiles are set anew after each tree, which a monotone column does not survive.
    """
    if job.task != REGRESSION:
        return job.task, None
    monotone = [column.name for column in job.data.columns if column.monotone]
    quantile = re.fullmatch(r"quantile:(0?\.\d+)", job.objective)
    if quantile and monotone:
        raise DataError(f"lightgbm cannot keep a quantile monotone in {monotone[0]!r}; catboost can.")
    if quantile:
        return "quantile", float(quantile[1])
    if monotone:
        return "l2", None
    return OBJECTIVES.get(job.objective, "l2"), None


def _model(job: Job, booster: lgb.Booster, watch: Watch, target: Target) -> LightGBMModel:
    every = job.rounds is not None or not watch.curve
    rounds = booster.current_iteration() if every else watch.best
    return LightGBMModel(_text(booster), job.classes, rounds, tuple(watch.curve), target, job.threads)


def _text(booster: lgb.Booster) -> str:
    text: str = booster.model_to_string(num_iteration=-1)
    return text
