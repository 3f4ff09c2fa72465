"""The sample of out-of-fold predictions that goes into a model's file, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.artifact.arrays import ArrayReader, ArrayWriter

__all__ = ["Evidence", "mark_rows", "sample_rows"]

MAX_ROWS, MIN_ROWS = 4000, 200
ARRAYS = ("rows", "target", "prediction", "marks")
MAX_CELLS = 40_000  # of predictions: 160 kB, whatever the number of classes


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Rows of the training table, judged by models that had not seen them. No input value is kept.

    Attributes:
        rows: int64 (rows,), increasing: their places among the training rows that have a target.
        target: float64 (rows,), numbers or class codes.
        prediction: float32, numbers (rows,) or probabilities (rows, classes), of the whole ensemble.
        marks: uint32 (rows,), of each row's encoded values and target, so that rows are known again.
    """

    rows: NDArray[np.int64]
    target: NDArray[np.float64]
    prediction: NDArray[np.float32]
    marks: NDArray[np.uint32]

    def to_json(self, writer: ArrayWriter) -> dict[str, Any]:
        return {name: writer.add(getattr(self, name)) for name in ARRAYS}

    @classmethod
    def from_json(cls, body: Mapping[str, Any], reader: ArrayReader, *, classes: int) -> Evidence:
        """Return what `to_json` wrote.

        Raises:
            DataError: arrays are missing, or do not fit together.
        """
        rows, target, prediction, marks = (reader.get(body[name]) for name in ARRAYS)
        shape = (len(rows), classes) if classes else (len(rows),)
        if rows.ndim != 1 or not target.shape == marks.shape == rows.shape or prediction.shape != shape:
            raise DataError("the model file is damaged: its out-of-fold predictions do not fit together.")
        if "".join(array.dtype.kind for array in (rows, target, prediction, marks)) != "iffu":
            raise DataError("the model file is damaged: its out-of-fold predictions are of a wrong type.")
        if classes and not ((target >= 0) & (target < classes)).all():
            raise DataError("the model file is damaged: its out-of-fold predictions name classes that are not there.")
        return cls(rows, target, prediction, marks)


def sample_rows(count: int, *, classes: int, seed: int) -> NDArray[np.int64]:
    """Return which of `count` out-of-fold predictions are kept, increasing."""
    limit = min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(classes, 1)))
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))


def mark_rows(values: NDArray[np.float32], target: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Return a number for each row that equal rows share, and others hardly ever (one in four thousand million)."""
    # Multiplicative hashing by the golden ratio, as `Lookup` of the core has it.
    mark = np.zeros(len(values), dtype=np.uint64)
    for column in (*(values.T + np.float32(0)), target.astype(np.float32) + np.float32(0)):  # 0 and -0 are equal
        bits = np.where(np.isnan(column), np.float32(np.nan), column).astype(np.float32).view(np.uint32)
        mark = (mark ^ (bits.astype(np.uint64) + np.uint64(1))) * np.uint64(0x9E3779B97F4A7C15)
        mark ^= mark >> np.uint64(32)
    return mark.astype(np.uint32)
