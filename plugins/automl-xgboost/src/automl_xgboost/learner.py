"""Fit XGBoost on an encoded table."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import xgboost as xgb
from xgboost.tracker import RabitTracker

from automl_core import TASKS, Candidate, Job, Learner, Model, Space
from automl_xgboost.matrices import Matrices, Sample, sample
from automl_xgboost.model import XGBoostModel
from automl_xgboost.objectives import parameters
from automl_xgboost.portfolio import make_portfolio, make_space
from automl_xgboost.stopping import TogetherWatch, Watch
from automl_xgboost.stream import stream

if TYPE_CHECKING:
    from automl_core import Column

__all__ = ["XGBoostLearner"]

MAX_ROUNDS = 10_000
DEFAULT_ROUNDS = 200
log = logging.getLogger("automl.xgboost")


class XGBoostLearner(Learner):
    """Gradient boosting by second-order splits (Chen and Guestrin 2016); categories and missing values natively."""

    tasks = TASKS
    objectives = frozenset({"absolute_error", "quantile"})

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        self._matrices = Matrices()
        self._space = make_space()

    def close(self) -> None:
        self._matrices = Matrices()

    def space(self, task: str) -> Space:
        return self._space

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return make_portfolio(task, rows)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """Rows at hand and their bins, those of other folds; gradients and scores; histograms of a deep tree."""
        return 50_000_000 + 12 * rows * columns + 24 * rows * max(classes, 1) + 16 * 256 * columns * 64

    def fit(self, job: Job) -> XGBoostModel:
        """Fit until the loss of the valid rows has not improved for long, for `job.rounds`, or until time is out."""
        started = time.monotonic()
        self._space.check(job.params)
        on = self._matrices.sample(job)
        return self._boost(job, on, Watch(job, started, scale=on.start.scale))

    def fit_distributed(self, source: Any, job: Job) -> XGBoostModel:
        """Fit on all rows of a source; in bins they take a byte or two for each value, and nothing else of them is kept.

        Args:
            source: batches of (float32 values, float64 target, weight or None), read several times; see
                `automl_core.Distributed`.
            job: its training rows, a sample of the source, decide the start and which categories are known.
        """
        started = time.monotonic()
        self._space.check(job.params)
        on = stream(source, job)
        return self._boost(job, on, Watch(job, started, scale=on.start.scale))

    @contextmanager
    def meet(self, members: int, host: str) -> Iterator[Mapping[str, Any]]:
        """Open a tracker of XGBoost's collective; see `automl_core.FitsTogether`."""
        tracker = RabitTracker(members, host)
        tracker.start()
        try:
            yield tracker.worker_args()
        finally:
            try:
                tracker.free()
            except xgb.core.XGBoostError as error:  # members that were lost cannot say goodbye
                log.debug("the tracker of a fit in several processes: %s", error)

    def fit_together(self, source: Any, job: Job, place: Mapping[str, Any]) -> XGBoostModel:
        """Fit on the rows of all members, whose sketches and histograms are summed; see `automl_core.FitsTogether`.

        Raises:
            RuntimeError: another member was lost.
        """
        started = time.monotonic()
        self._space.check(job.params)
        try:
            with xgb.config_context(verbosity=0), xgb.collective.CommunicatorContext(**place):
                on = stream(source, job)
                return self._boost(job, on, TogetherWatch(job, started, scale=on.start.scale))
        except xgb.core.XGBoostError as error:
            raise RuntimeError(f"XGBoost's fit in several processes failed: {str(error).splitlines()[0]}") from error

    def _boost(self, job: Job, on: Sample, watch: Watch) -> XGBoostModel:
        booster = self._train(job, on, watch, None)
        every = job.rounds is not None or not watch.curve
        rounds = booster.num_boosted_rounds() if every else watch.best
        return XGBoostModel(_raw(booster), on.known, on.start, job.classes, rounds, tuple(watch.curve), job.threads)

    def resume(self, model: Model, job: Job) -> XGBoostModel:
        """Fit further rounds on top of `model`; its columns, classes and objective must be those of the job.

        Raises:
            ValueError: the model is not one of XGBoost, or is of another task.
        """
        started = time.monotonic()
        self._space.check(job.params)
        if not isinstance(model, XGBoostModel) or model.classes != job.classes:
            raise ValueError(f"cannot go on from {model!r}: it is no XGBoost model of {job.classes} classes")
        on = sample(job, start=model.start, known=model.known)
        watch = Watch(job, started)
        booster = self._train(job, on, watch, model.booster[: model.rounds])
        every = job.rounds is not None or not watch.curve
        rounds = booster.num_boosted_rounds() if every else model.rounds + watch.best
        return XGBoostModel(_raw(booster), on.known, on.start, job.classes, rounds, (), job.threads)

    def _train(self, job: Job, on: Sample, watch: Watch, earlier: xgb.Booster | None) -> xgb.Booster:
        return xgb.train(
            self._parameters(job),
            on.train,
            job.rounds or (DEFAULT_ROUNDS if on.valid is None else MAX_ROUNDS),
            evals=[] if on.valid is None else [(on.valid, "valid")],
            verbose_eval=False,
            xgb_model=earlier,
            callbacks=[watch],
        )

    def _parameters(self, job: Job) -> dict[str, Any]:
        params: dict[str, Any] = {
            "verbosity": 0,
            "device": self.device,
            "tree_method": "hist",
            "nthread": job.threads,
            "seed": job.seed % 2**31,
            **parameters(job),
            **job.params,
        }
        if any(column.monotone for column in job.data.columns):
            params["monotone_constraints"] = tuple(column.monotone for column in job.data.columns)
        return params


def _raw(booster: xgb.Booster) -> bytes:
    return bytes(booster.save_raw("ubj"))
