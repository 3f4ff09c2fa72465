"""Tables that these tests fit."""

from __future__ import annotations

import numpy as np

from automl_core import Column, Data, Job


def numbers(values: np.ndarray, target: np.ndarray) -> Data:
    columns = tuple(Column(f"x{j}") for j in range(values.shape[1]))
    return Data(np.ascontiguousarray(values, dtype=np.float32), columns, target.astype(np.float64))


def job(data: Data, task: str, *, classes: int = 0, share: float = 0.7, **options: object) -> Job:
    """The first `share` of the rows to learn from, the others to watch."""
    rows = len(data.target)
    cut = int(rows * share)
    given = {"valid": np.arange(cut, rows), "params": {}, **options}
    return Job(data, np.arange(cut), task=task, classes=classes, **given)  # type: ignore[arg-type]


def mixed(rows: int = 600, *, levels: int = 300, seed: int = 0) -> Data:
    """Two numbers with missing values, a category of 5 levels and one of `levels`, for regression."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32)
    values[:, 2] = rng.integers(0, 5, rows)
    values[:, 3] = np.minimum(rng.geometric(4 / levels, rows) - 1, levels - 1)
    target = 3 * values[:, 0] + np.array([0, 5, -5, 1, 9])[values[:, 2].astype(int)] + (values[:, 3] % 3)
    values[rng.random(rows) < 0.2, 0] = np.nan
    values[rng.random(rows) < 0.1, 2] = np.nan
    columns = (Column("a"), Column("b"), Column("c", 5), Column("d", levels))
    return Data(values, columns, target.astype(np.float64))
