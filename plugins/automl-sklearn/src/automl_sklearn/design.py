"""From encoded columns to inputs of one scale: numbers clipped and standardised, categories as indicators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from automl_core import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Design", "Inputs", "fit_design"]

SAMPLE = 50_000  # rows that quantiles are taken from


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """float32 dense (rows, dense inputs) and sparse float32 indicators (rows, indicators)."""

    dense: NDArray[np.float32]
    indicators: sparse.csr_array

    @property
    def width(self) -> int:
        return int(self.dense.shape[1] + self.indicators.shape[1])

    def dot(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return inputs @ weights for weights of shape (width, outputs)."""
        split, narrow = self.dense.shape[1], weights.astype(np.float32)
        product: NDArray[np.float32] = self.dense @ narrow[:split] + self.indicators @ narrow[split:]
        return product.astype(np.float64)

    def transpose_dot(self, residuals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return inputs.T @ residuals for residuals of shape (rows, outputs)."""
        narrow = residuals.astype(np.float32)
        return np.concatenate([self.dense.T @ narrow, self.indicators.T @ narrow]).astype(np.float64)

    def subset(self, rows: NDArray[np.int64]) -> Inputs:
        return Inputs(self.dense[rows], self.indicators[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """How columns become inputs. k numbers, of which some were missing in training; c categories.

    Attributes:
        numbers: int64 (k,), column numbers. center, scale, low, high, fill: float64 (k,): a number is filled where it
            is missing, clipped, centred and divided.
        flags: int64, positions in `numbers` that have an indicator of missing values, dense inputs k, k + 1, ...
        categories: int64 (c,), column numbers. starts: int64 (c + 1,), where the codes of each begin in `slots`,
            one more place than it has codes, for missing values.
        slots: int64, the indicator of each code; -1 for none.
        width: the number of indicators.
    """

    numbers: NDArray[np.int64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    fill: NDArray[np.float64]
    flags: NDArray[np.int64]
    categories: NDArray[np.int64]
    starts: NDArray[np.int64]
    slots: NDArray[np.int64]
    width: int

    def apply(self, values: NDArray[np.float32]) -> Inputs:
        return Inputs(self._dense(values), self._indicators(values))

    def _dense(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        numbers = values[:, self.numbers].astype(np.float64)
        missing = np.isnan(numbers)
        numbers = np.where(missing, self.fill, np.clip(numbers, self.low, self.high))
        numbers = (numbers - self.center) / self.scale
        return np.concatenate([numbers, missing[:, self.flags]], axis=1, dtype=np.float32, casting="same_kind")

    def _indicators(self, values: NDArray[np.float32]) -> sparse.csr_array:
        rows = len(values)
        codes = values[:, self.categories]
        last = np.diff(self.starts) - 1
        place = np.where(np.isnan(codes), last, codes).astype(np.int64) + self.starts[:-1]
        columns = self.slots[place]
        held = columns >= 0
        pointers = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
        ones = np.ones(int(pointers[-1]), dtype=np.float32)
        return sparse.csr_array((ones, columns[held], pointers), shape=(rows, self.width))


def fit_design(
    values: NDArray[np.float32], columns: Sequence[Column], *, levels: int, min_count: int, tails: float
) -> Design:
    """Learn the scaling and the indicators from training rows.

    A number is clipped to its quantiles `tails` and 1 - `tails`, widened by half their distance, so that outliers
    neither stretch the scale nor dominate the fit. Of a category the `levels` most frequent codes with at least
    `min_count` rows have their own indicator, the other codes share one, and missing has one where it occurs.
    """
    numbers = np.array([j for j, column in enumerate(columns) if not column.categorical], dtype=np.int64)
    categories = np.array([j for j, column in enumerate(columns) if column.categorical], dtype=np.int64)
    scaling = np.array([_scaling(values[:, j], tails) for j in numbers]).reshape(len(numbers), 5).T
    flags = np.flatnonzero(np.isnan(values[:, numbers]).any(axis=0))
    slots, starts, width = [np.empty(0, dtype=np.int64)], [0], 0
    for j in categories:
        own, width = _slots(values[:, j], columns[j].categories, levels, min_count, width)
        slots.append(own)
        starts.append(starts[-1] + len(own))
    center, scale, low, high, fill = scaling
    return Design(
        numbers=numbers,
        center=center,
        scale=scale,
        low=low,
        high=high,
        fill=fill,
        flags=flags,
        categories=categories,
        starts=np.array(starts, dtype=np.int64),
        slots=np.concatenate(slots),
        width=width,
    )


def _scaling(column: NDArray[np.float32], tails: float) -> tuple[float, float, float, float, float]:
    """Return center, scale, low, high and the median, which stands for missing values."""
    known = column[~np.isnan(column)].astype(np.float64)
    if not len(known):
        return 0.0, 1.0, 0.0, 0.0, 0.0
    known = known[:: -(-len(known) // SAMPLE)]
    bottom, median, top = np.quantile(known, [tails, 0.5, 1 - tails])
    margin = (top - bottom) / 2
    if margin > 0:
        low, high = bottom - margin, top + margin
    else:  # nearly constant: the few other values are all there is to learn from
        low, high = known.min(), known.max()
    clipped = np.clip(known, low, high)
    return float(clipped.mean()), float(clipped.std()) or 1.0, float(low), float(high), float(median)


def _slots(
    codes: NDArray[np.float32], categories: int, levels: int, min_count: int, first: int
) -> tuple[NDArray[np.int64], int]:
    missing = np.isnan(codes)
    counts = np.bincount(codes[~missing].astype(np.int64), minlength=categories)
    own = counts >= min_count
    own[np.argsort(-counts, kind="stable")[levels:]] = False
    slots = np.full(categories + 1, -1, dtype=np.int64)
    slots[:-1][own] = first + np.arange(own.sum())
    width = first + int(own.sum())
    if not own.all():  # the rare ones, and those that training rows lack
        slots[:-1][~own] = width
        width += 1
    if missing.any():
        slots[-1] = width
        width += 1
    return slots, width
