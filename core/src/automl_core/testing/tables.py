"""Small tables for learners, made from a seed: numbers, categories, missing values, and a signal to find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core.data import BINARY, MULTICLASS, REGRESSION, Column, Data, Job

__all__ = ["UNSEEN", "Table", "loss", "make_table"]

CLASSES = {BINARY: 2, MULTICLASS: 3, REGRESSION: 0}
UNSEEN = 4  # a code of the column "kind" that no row of `train` has


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table with its rows split three ways; int64 row numbers, none in common.

    `kind` of the test rows has codes that no other row has; all columns but the first have missing values.
    """

    task: str
    data: Data
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    test: NDArray[np.int64]

    def job(self, **changes: Any) -> Job:
        """Return the job of fitting the train rows while watching the valid rows, with some fields changed."""
        job = Job(self.data, self.train, self.valid, self.task, CLASSES[self.task], params={})
        return replace(job, **changes)

    def values(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.data.values[rows])

    def with_data(self, **changes: Any) -> Table:
        return replace(self, data=replace(self.data, **changes))


def make_table(task: str, *, rows: int = 400, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    first, second, noise = rng.normal(size=(3, rows))
    kind = rng.integers(0, UNSEEN, rows)
    city = np.minimum(rng.geometric(0.2, rows) - 1, 11)
    signal = 1.5 * first - second + np.array([1.0, -1.0, 0.5, 0.0])[kind] + 0.3 * rng.normal(size=rows)
    numbers = rng.permutation(rows)
    train, valid, test = numbers[: rows * 6 // 10], numbers[rows * 6 // 10 : rows * 8 // 10], numbers[rows * 8 // 10 :]
    values = np.column_stack([first, second, noise, kind, city]).astype(np.float32)
    values[:, 1:][rng.random((rows, 4)) < 0.08] = np.nan
    values[test[::4], 3] = UNSEEN
    columns = (Column("first"), Column("second"), Column("noise"), Column("kind", UNSEEN + 1), Column("city", 12))
    return Table(task, Data(values, columns, _target(task, signal)), np.sort(train), np.sort(valid), np.sort(test))


def loss(task: str, target: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the mean squared error, or the log loss."""
    if task == REGRESSION:
        return float(np.mean((target - predicted) ** 2))
    share = predicted[np.arange(len(target)), target.astype(np.int64)]
    return float(-np.mean(np.log(np.clip(share, 1e-12, 1.0))))


def _target(task: str, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    if task == REGRESSION:
        return signal
    cuts = np.quantile(signal, np.arange(1, CLASSES[task]) / CLASSES[task])
    return np.searchsorted(cuts, signal).astype(np.float64)
