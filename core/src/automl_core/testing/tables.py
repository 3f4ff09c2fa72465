"""Small tables for learners, made from a seed, and what predictions of them must be like.

Numbers, categories, missing values, and a signal to find.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core.data import BINARY, MULTICLASS, REGRESSION, Column, Data, Job, Model
from automl_core.learners import Exports
from automl_core.testing.flat import evaluate

__all__ = [
    "CLASSES",
    "UNSEEN",
    "Table",
    "as_numbers",
    "assert_exports",
    "assert_sound",
    "first_of_each_class",
    "loss",
    "make_table",
    "predict_constant",
]

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


def assert_sound(table: Table, predicted: NDArray[np.float64], rows: int) -> None:
    """Assert that predictions of so many rows have their shape and type, are finite, and sum to one."""
    assert isinstance(predicted, np.ndarray)
    assert predicted.dtype == np.float64
    assert predicted.shape == ((rows,) if table.task == REGRESSION else (rows, CLASSES[table.task]))
    assert np.isfinite(predicted).all()
    if table.task != REGRESSION:
        assert (predicted >= 0).all()
        assert np.allclose(predicted.sum(axis=1), 1.0, atol=1e-6)


def assert_exports(model: Model, values: NDArray[np.float32]) -> None:
    """Assert that the flat form of a model predicts what the model does; skip where it has none."""
    flat = model.export() if isinstance(model, Exports) else None
    if flat is None:
        pytest.skip("this model has no flat form")
    assert np.allclose(evaluate(flat, values), model.predict(values), rtol=1e-6, atol=1e-6)


def predict_constant(table: Table, rows: int) -> NDArray[np.float64]:
    """Predict the mean, or the shares of the classes, of the train rows."""
    known = table.data.target[table.train]
    if table.task == REGRESSION:
        return np.full(rows, known.mean())
    return np.tile(np.bincount(known.astype(int), minlength=CLASSES[table.task]) / len(known), (rows, 1))


def first_of_each_class(table: Table, count: int) -> NDArray[np.int64]:
    """Return `count` train rows with all classes among them."""
    if table.task == REGRESSION:
        return table.train[:count]
    target = table.data.target[table.train]
    each = count // CLASSES[table.task]
    return np.sort(np.concatenate([table.train[target == one][:each] for one in np.unique(target)]))


def as_numbers(table: Table) -> Table:
    """Declare all columns numbers."""
    return table.with_data(columns=tuple(replace(column, categories=0) for column in table.data.columns))
