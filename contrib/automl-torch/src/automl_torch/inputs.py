"""From encoded columns to what a network reads: robustly scaled numbers, flags of missing values, table rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Column
from automl_core.networks import robust_scale, squash

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Category", "Encoded", "Inputs", "fit_inputs"]

ONE_HOT = 9  # levels up to which a category is one-hot (Holzmueller et al. 2024, table A.1)
WIDTH = 8  # of the embedding of a larger one
LEVELS = 2000  # with a row of their own; rarer ones share one


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """How codes become rows of one table.

    Attributes:
        column: its number. rows: int64 (levels + 1,), the row of each code, and of a missing value at the end.
        count: the number of rows. Row 0 stands for what training lacks and starts as zeros.
        one_hot: row r > 0 is the unit vector r - 1 and is not trained; else rows are embeddings.
    """

    column: int
    rows: NDArray[np.int64]
    count: int
    one_hot: bool

    @property
    def width(self) -> int:
        return self.count - 1 if self.one_hot else WIDTH


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """float32 numbers (rows, k) and flags (rows, f), int64 codes (rows, c): rows of the categories' tables."""

    numbers: NDArray[np.float32]
    flags: NDArray[np.float32]
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What `Network` says of its inputs, before training: arrays as there."""

    source: NDArray[np.int32]
    center: NDArray[np.float64]
    factor: NDArray[np.float64]
    flags: NDArray[np.int32]
    categories: tuple[Category, ...]

    def apply(self, values: NDArray[np.float32]) -> Encoded:
        codes = np.empty((len(values), len(self.categories)), dtype=np.int64)
        for place, category in enumerate(self.categories):
            own = values[:, category.column]
            codes[:, place] = category.rows[np.where(np.isnan(own), len(category.rows) - 1, own).astype(np.int64)]
        numbers = squash(values[:, self.source], self.center, self.factor)
        return Encoded(numbers.astype(np.float32), np.isnan(values[:, self.flags]).astype(np.float32), codes)


def fit_inputs(values: NDArray[np.float32], columns: Sequence[Column]) -> Inputs:
    """Learn scales and rows from training rows: robust scaling as in Holzmueller et al. 2024, section 3."""
    source = np.array([j for j, column in enumerate(columns) if not column.categorical], dtype=np.int32)
    scales = np.array([robust_scale(values[:, j]) for j in source]).reshape(len(source), 2)
    return Inputs(
        source=source,
        center=scales[:, 0],
        factor=scales[:, 1],
        flags=source[np.isnan(values[:, source]).any(axis=0)],
        categories=tuple(
            _category(j, values[:, j], column.categories) for j, column in enumerate(columns) if column.categorical
        ),
    )


def _category(number: int, codes: NDArray[np.float32], levels: int) -> Category:
    missing = np.isnan(codes)
    seen = np.bincount(codes[~missing].astype(np.int64), minlength=levels) > 0
    seen[LEVELS:] = False  # codes are in falling order of frequency
    own = np.append(seen, missing.any())
    rows = np.zeros(levels + 1, dtype=np.int64)
    rows[own] = 1 + np.arange(own.sum())
    count = 1 + int(own.sum())
    return Category(number, rows, count, one_hot=count - 1 <= ONE_HOT)
