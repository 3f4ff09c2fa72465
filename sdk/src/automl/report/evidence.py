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

__all__ = ["Evidence", "sample_rows"]

MAX_ROWS, MIN_ROWS = 4000, 200
MAX_CELLS = 40_000  # of predictions: 160 kB, whatever the number of classes


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Rows of the training table, judged by models that had not seen them. No input value is kept.

    Attributes:
        rows: int64 (rows,), increasing: their places among the training rows that have a target.
        target: float64 (rows,), numbers or class codes.
        prediction: float32, numbers (rows,) or probabilities (rows, classes), of the whole ensemble.
        key: identifies the rows' encoded values and targets, so that the table is known again.
    """

    rows: NDArray[np.int64]
    target: NDArray[np.float64]
    prediction: NDArray[np.float32]
    key: str = ""

    def to_json(self, writer: ArrayWriter) -> dict[str, Any]:
        arrays = {name: writer.add(getattr(self, name)) for name in ("rows", "target", "prediction")}
        return {"key": self.key, **arrays}

    @classmethod
    def from_json(cls, body: Mapping[str, Any], reader: ArrayReader, *, classes: int) -> Evidence:
        """Return what `to_json` wrote.

        Raises:
            DataError: arrays are missing, or do not fit together.
        """
        rows, target, prediction = (reader.get(body[name]) for name in ("rows", "target", "prediction"))
        shape = (len(rows), classes) if classes else (len(rows),)
        if rows.ndim != 1 or target.shape != rows.shape or prediction.shape != shape:
            raise DataError("the model file is damaged: its out-of-fold predictions do not fit together.")
        if rows.dtype.kind != "i" or target.dtype.kind != "f" or prediction.dtype.kind != "f":
            raise DataError("the model file is damaged: its out-of-fold predictions are of a wrong type.")
        if classes and not ((target >= 0) & (target < classes)).all():
            raise DataError("the model file is damaged: its out-of-fold predictions name classes that are not there.")
        return cls(rows, target, prediction, str(body["key"]))


def sample_rows(count: int, *, classes: int, seed: int) -> NDArray[np.int64]:
    """Return which of `count` out-of-fold predictions are kept, increasing."""
    limit = min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(classes, 1)))
    if count <= limit:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, limit, replace=False))
