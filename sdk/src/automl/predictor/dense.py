"""Lookups whose columns have few codes as arrays over all combinations of digits: no hash, no search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.derived import GOLDEN, MISSING_DIGIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Lookup

__all__ = ["Dense", "make_dense"]

MOST_CELLS = 1 << 14
MOST_EMPTY = 64  # cells per key
CODES = (16, 64, 256, 1024, 4096, 16000)


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A table of all combinations.

    Attributes:
        limits: int64 (digits,): for a category the number of codes C: digit 0 is missing, 1 + c is code c, C + 1 any other
            code; 0 for a digit that is 0 or 1.
        strides: int64 (digits,), of the cells. cells: float32, the value of each combination.
    """

    limits: NDArray[np.int64]
    strides: NDArray[np.int64]
    cells: NDArray[np.float32]


def make_dense(item: Lookup) -> Dense | None:
    """Return all combinations of a lookup's digits; None where they are too many for its keys."""
    categories = np.isnan(item.threshold)
    for codes in CODES if categories.any() else (0,):
        limits = np.where(categories, codes, 0)
        place = _place_keys(item, limits)
        if place is None:
            return None
        if np.count_nonzero(np.bincount(place[place >= 0])) == len(item.keys):
            return _shrink(item, limits, place)
    return None


def _sizes(limits: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(limits > 0, limits + 2, 2)


def _place_keys(item: Lookup, limits: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return for each combination which key it has, -1 for none; None where combinations are too many."""
    sizes = _sizes(limits)
    most = min(MOST_CELLS, MOST_EMPTY * (len(item.keys) + 16))
    if np.prod(sizes.astype(np.float64)) > most:
        return None
    key, outside = _keys_of_cells(tuple(limits.tolist()))
    if not len(item.keys):
        return np.full(len(key), -1)
    place = np.minimum(np.searchsorted(item.keys, key), len(item.keys) - 1)
    return np.where((item.keys[place] == key) & ~outside, place, -1)


@lru_cache(maxsize=8)  # of at most MOST_CELLS each: most lookups of a model have the same limits
def _keys_of_cells(limits: tuple[int, ...]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the key of each combination of digits, and whether one of these stands for codes that no key is known for."""
    key = np.zeros(1, dtype=np.uint64)
    outside = np.zeros(1, dtype=np.bool_)
    for limit in limits:
        size = limit + 2 if limit else 2
        digit = np.arange(size, dtype=np.uint64)
        strange = np.zeros(size, dtype=np.bool_)
        if limit:
            digit = np.concatenate([[np.uint64(MISSING_DIGIT)], digit[:-1]])
            strange[-1] = True
        key = (key[:, None] ^ (digit + np.uint64(1))).ravel() * GOLDEN
        key ^= key >> np.uint64(32)
        outside = (outside[:, None] | strange).ravel()
    return key, outside


def _shrink(item: Lookup, limits: NDArray[np.int64], place: NDArray[np.int64]) -> Dense:
    """Cut codes off that no key has."""
    grid = place.reshape(_sizes(limits))
    cut = limits.copy()
    for axis in np.flatnonzero(limits > 0):
        known = np.flatnonzero((grid >= 0).any(axis=tuple(a for a in range(grid.ndim) if a != axis)))
        cut[axis] = max(int(known[-1]) if len(known) else 0, 1)
        grid = np.take(grid, [*range(cut[axis] + 1), limits[axis] + 1], axis=axis)
    cells = np.full(grid.size, item.default, dtype=np.float32)
    flat = grid.ravel()
    cells[flat >= 0] = item.values[flat[flat >= 0]]
    sizes = _sizes(cut)
    strides = np.concatenate([np.cumprod(sizes[::-1])[::-1][1:], [1]])
    return Dense(cut, strides.astype(np.int64), cells)
