"""The rows of a job, ready for scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from automl_core import Column, DataError, Job, Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Space

__all__ = ["TRACE_WEIGHT", "Clock", "Rows", "blas_threads", "choose", "refuse_monotone", "take"]

TRACE_WEIGHT = 1e-6  # of the row that stands for a class which the training rows lack, relative to the mean weight


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """float32 values (rows, columns), float64 target (rows,), float64 weight (rows,) or None where all are equal."""

    values: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.target.astype(np.int64)

    def subset(self, rows: NDArray[np.int64]) -> Rows:
        return Rows(self.values[rows], self.target[rows], None if self.weight is None else self.weight[rows])


_lock = Lock()
_inside = 0
_limits: Any = None


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Let products of matrices use `count` threads, or as many as a fit that overlaps asked for.

    The number is the whole process's: did each fit put back what it found, the one that ends would lift another's limit.
    """
    global _inside, _limits
    with _lock:
        if not _inside:
            _limits = threadpool_limits(limits=count, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limits.restore_original_limits()


class Clock:
    """Wall clock of one fit, started when it is made; without a limit it never runs out."""

    def __init__(self, seconds: float | None) -> None:
        self._end = float("inf") if seconds is None else monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - monotonic()


def take(job: Job, *, limit: int | None = None) -> Rows:
    """Copy a job's training rows, at most `limit` of them drawn by its seed.

    A class that no row has gets one row of a trace of weight, so that every model knows all classes.
    """
    data, rows = job.data, job.train
    if limit is not None and len(rows) > limit:
        drawn = np.random.default_rng(job.seed).choice(len(rows), limit, replace=False)
        rows = rows[np.sort(drawn)]
    taken = Rows(data.values, data.target, data.weight).subset(rows)
    absent = np.setdiff1d(np.arange(job.classes), taken.labels) if job.classes else np.empty(0, dtype=np.int64)
    if not len(absent):
        return taken
    weight = np.ones(len(rows)) if taken.weight is None else taken.weight
    return Rows(
        np.concatenate([taken.values, np.repeat(taken.values[:1], len(absent), axis=0)]),
        np.concatenate([taken.target, absent.astype(np.float64)]),
        np.concatenate([weight, np.full(len(absent), TRACE_WEIGHT * float(weight.mean()))]),
    )


def choose(space: Space, params: Mapping[str, Scalar], defaults: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the defaults overlaid with `params`.

    Raises:
        ValueError: a parameter is unknown or out of bounds.
    """
    space.check(params)
    return {**defaults, **params}


def refuse_monotone(
    columns: Sequence[Column],
    learner: str,
    able: str = "sklearn.hist_gradient_boosting keeps it for binary classification and regression.",
) -> None:
    """Raise DataError where a column asks for what `learner` cannot promise; `able` tells which can."""
    asked = [column.name for column in columns if column.monotone]
    if asked:
        raise DataError(
            f"{learner} cannot keep predictions monotone in {asked[0]!r}; leave it out of the learners, or drop the "
            f"constraint. {able}"
        )
