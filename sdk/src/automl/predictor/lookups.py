"""The derived columns of an ensemble: each distinct one once, its table indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Arithmetic, Derived, Flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lookups", "join_lookups"]

OPERATOR_CODES = {"+": 1, "-": 2, "*": 3, "/": 4}
LOOKUP = 0
MAX_BITS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Lookups:
    """What the kernel needs of derived columns.

    Attributes:
        rows: int64 (derived, 8): 0, first and end digit, first key, keys, place in `starts`, bits, 0 for a lookup;
            the operator's code, left, right, 0, ... for arithmetic.
        defaults: float32 (derived,). digits: int32 (digits, 2): source, equal. thresholds: float32 (digits,).
        keys: uint64. values: float32. starts: int32: where the keys of each value of their top `bits` begin.
    """

    rows: NDArray[np.int64]
    defaults: NDArray[np.float32]
    digits: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    keys: NDArray[np.uint64]
    values: NDArray[np.float32]
    starts: NDArray[np.int32]


def join_lookups(flats: Sequence[Flat], columns: int) -> tuple[Lookups, tuple[Derived, ...], list[NDArray[np.int64]]]:
    """Return the indexed tables, the distinct derived columns, and per flat where each of its own is, behind `columns`."""
    distinct: dict[object, int] = {}
    derived: list[Derived] = []
    places = []
    for flat in flats:
        place = []
        for item in flat.derived:
            key = _identity(item)
            if key not in distinct:
                distinct[key] = len(derived)
                derived.append(item)
            place.append(columns + distinct[key])
        places.append(np.array(place, dtype=np.int64))
    return _index(derived), tuple(derived), places


def _identity(item: Derived) -> object:
    if isinstance(item, Arithmetic):
        return item
    arrays = (item.source, item.threshold, item.equal, item.keys, item.values)
    return (*(array.tobytes() for array in arrays), item.default)


def _index(derived: Sequence[Derived]) -> Lookups:
    rows = np.zeros((len(derived), 8), dtype=np.int64)
    digits, thresholds, keys, values, starts = [], [], [], [], []
    digit = key = start = 0
    defaults = np.zeros(len(derived), dtype=np.float32)
    for i, item in enumerate(derived):
        if isinstance(item, Arithmetic):
            rows[i, :3] = OPERATOR_CODES[item.operator], item.left, item.right
            continue
        bits = min(max(int(item.keys.size).bit_length(), 1), MAX_BITS)
        heads = (np.arange(1 << bits, dtype=np.uint64)) << np.uint64(64 - bits)
        first = np.r_[np.searchsorted(item.keys, heads), item.keys.size].astype(np.int32)
        count = item.source.size
        rows[i, :7] = LOOKUP, digit, digit + count, key, item.keys.size, start, bits
        defaults[i] = item.default
        digits.append(np.stack([item.source, item.equal.astype(np.int32)], axis=1))
        thresholds.append(item.threshold)
        keys.append(item.keys)
        values.append(item.values)
        starts.append(first)
        digit, key, start = digit + count, key + item.keys.size, start + len(first)
    return Lookups(
        rows=rows,
        defaults=defaults,
        digits=np.concatenate([np.empty((0, 2), dtype=np.int32), *digits]),
        thresholds=np.concatenate([np.empty(0, dtype=np.float32), *thresholds]),
        keys=np.concatenate([np.empty(0, dtype=np.uint64), *keys]),
        values=np.concatenate([np.empty(0, dtype=np.float32), *values]),
        starts=np.concatenate([np.empty(0, dtype=np.int32), *starts]),
    )
