"""Derived columns with numpy; see `automl_core.flat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl_core import Arithmetic, Derived, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OUTSIDE", "derive", "to_codes"]

MISSING_DIGIT = 0xFFFFFFFF
OUTSIDE = MISSING_DIGIT - 1  # stands for what is no code at all
LIMIT = np.float32(4294967040.0)  # the greatest float32 that fits 32 bits
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


def derive(item: Derived, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one derived column of encoded rows."""
    return _look_up(item, values) if isinstance(item, Lookup) else _calculate(item, values)


def to_codes(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return codes as whole numbers; `OUTSIDE` where a value is missing, negative or too great."""
    inside = (values > -1) & (values < LIMIT)
    codes: NDArray[np.uint64] = np.where(inside, values, 0).astype(np.int64).astype(np.uint64)
    codes[~inside] = OUTSIDE
    return codes


def _calculate(item: Arithmetic, values: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        result: NDArray[np.float32] = OPERATIONS[item.operator](
            values[:, item.left], values[:, item.right], dtype=np.float32
        )
    result[~np.isfinite(result)] = np.nan
    return result


def _look_up(item: Lookup, values: NDArray[np.float32]) -> NDArray[np.float32]:
    key = np.zeros(len(values), dtype=np.uint64)
    for source, threshold, equal in zip(item.source, item.threshold, item.equal, strict=True):
        column = values[:, source]
        if np.isnan(threshold):
            digit = np.where(np.isnan(column), np.uint64(MISSING_DIGIT), to_codes(column))
        else:
            digit = (column == threshold if equal else column > threshold).astype(np.uint64)
        key = (key ^ (digit + np.uint64(1))) * GOLDEN
        key ^= key >> np.uint64(32)
    if not len(item.keys):
        return np.full(len(values), item.default, dtype=np.float32)
    place = np.minimum(np.searchsorted(item.keys, key), len(item.keys) - 1)
    return np.where(item.keys[place] == key, item.values[place], np.float32(item.default))
