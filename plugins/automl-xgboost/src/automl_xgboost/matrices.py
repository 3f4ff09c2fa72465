"""Rows in bins, shared by all configurations of a fold."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from automl_xgboost.start import Start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Job

__all__ = ["Known", "Matrices", "Sample", "feature_types", "matrix", "sample"]

KEPT = 8  # the largest number of folds


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The categories that rows to learn from have: for each column bool (codes,), or None for a number.

    XGBoost would send a category that it has not seen to the left of every split. As a missing value it goes where
    the split's gain said.
    """

    codes: tuple[NDArray[np.bool_] | None, ...]

    @classmethod
    def of(cls, job: Job) -> Known:
        found: list[NDArray[np.bool_] | None] = []
        for place, column in enumerate(job.data.columns):
            seen = None
            if column.categorical:
                codes = job.data.values[job.train, place]
                seen = np.zeros(column.categories, dtype=np.bool_)
                seen[codes[~np.isnan(codes)].astype(np.int64)] = True
            found.append(seen)
        return cls(tuple(found))

    def __or__(self, other: Known) -> Known:
        pairs = zip(self.codes, other.codes, strict=True)
        return Known(tuple(None if a is None or b is None else a | b for a, b in pairs))

    def clean(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values with NaN for unknown categories; the same array where there are none."""
        cleaned = values
        for place, seen in enumerate(self.codes):
            if seen is None:
                continue
            column = values[:, place]
            inside = (column >= 0) & (column < len(seen))
            unknown = ~(inside & seen[np.where(inside, column, 0).astype(np.int64)]) & ~np.isnan(column)
            if unknown.any():
                cleaned = values.copy() if cleaned is values else cleaned
                cleaned[unknown, place] = np.nan
        return cleaned


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a fit learns from and watches, in the bins of the former."""

    train: xgb.QuantileDMatrix
    valid: xgb.QuantileDMatrix | None
    known: Known
    start: Start


class Matrices:
    """The samples of the last few folds; thread-safe, and one is made once however many threads ask for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Future[Sample]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Matrices, ()

    def sample(self, job: Job) -> Sample:
        """Return a job's sample. One of a table without a key is made for this call alone."""
        if not job.data.key:
            return sample(job)
        key = (job.data.key, job.task, job.objective, _digest(job.train), _digest(job.valid))
        with self._lock:
            found = self._kept.get(key)
            mine = found is None
            if found is None:
                found = self._kept[key] = Future()
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
        if mine:
            try:
                found.set_result(sample(job))
            except BaseException as error:
                self._forget(key)
                found.set_exception(error)
                raise
        return found.result()

    def _forget(self, key: tuple[Any, ...]) -> None:
        with self._lock:
            self._kept.pop(key, None)


def sample(job: Job, *, start: Start | None = None, known: Known | None = None) -> Sample:
    """Put a job's rows in bins; with the start of an earlier model, and the categories it knows, where there is one."""
    start = Start.of(job) if start is None else start
    known = Known.of(job) if known is None else known | Known.of(job)
    train = matrix(job, job.train, known, start)
    valid = None if job.valid is None else matrix(job, job.valid, known, start, reference=train)
    return Sample(train, valid, known, start)


def feature_types(known: Known) -> list[str]:
    return ["q" if seen is None else "c" for seen in known.codes]


def _digest(rows: NDArray[np.int64] | None) -> bytes:
    return b"" if rows is None else hashlib.blake2b(np.ascontiguousarray(rows).data, digest_size=16).digest()


def matrix(
    job: Job, rows: NDArray[np.int64], known: Known, start: Start, *, reference: xgb.QuantileDMatrix | None = None
) -> xgb.QuantileDMatrix:
    data = job.data
    return xgb.QuantileDMatrix(
        known.clean(data.values[rows]),
        label=start.learned(data.target[rows]),
        weight=None if data.weight is None else data.weight[rows],
        base_margin=start.margin(len(rows)),
        feature_types=feature_types(known),
        enable_categorical=True,
        ref=reference,
        nthread=job.threads,
    )
