"""Lookups whose columns have few codes as arrays over all combinations of digits: no hash, no search."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
    categories = np.isnan(item.threshold).tolist()
    for codes in CODES if any(categories) else (0,):
        limits = tuple(codes if category else 0 for category in categories)
        count = math.prod(_sizes(limits))
        if count > min(MOST_CELLS, MOST_EMPTY * (len(item.keys) + 16)):
            return None
        if count < len(item.keys):
            continue
        cell, key = _place_keys(item, limits)
        if np.count_nonzero(np.bincount(key)) == len(item.keys):
            return _shrink(item, limits, cell, key)
    return None


def _sizes(limits: Sequence[int]) -> list[int]:
    return [limit + 2 if limit else 2 for limit in limits]


def _place_keys(item: Lookup, limits: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the combinations that have a key, and which key that is."""
    key, outside = _keys_of_cells(limits)
    if not len(item.keys):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    place = np.minimum(np.searchsorted(item.keys, key), len(item.keys) - 1)
    cell = np.flatnonzero((item.keys[place] == key) & ~outside)
    return cell, place[cell]


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


def _shrink(item: Lookup, limits: tuple[int, ...], cell: NDArray[np.int64], key: NDArray[np.int64]) -> Dense:
    """Cut codes off that no key has."""
    digits = np.unravel_index(cell, _sizes(limits)) if limits else ()
    cut = [max(int(d.max(initial=0)), 1) if limit else 0 for d, limit in zip(digits, limits, strict=True)]
    sizes = _sizes(cut)
    strides = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
    cells = np.full(math.prod(sizes), item.default, dtype=np.float32)
    place = np.zeros_like(cell)
    for digit, stride in zip(digits, strides, strict=True):
        place += digit * stride
    cells[place] = item.values[key]
    return Dense(np.array(cut, dtype=np.int64), np.array(strides, dtype=np.int64), cells)
