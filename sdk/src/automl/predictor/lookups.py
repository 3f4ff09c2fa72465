"""The derived columns of an ensemble: each distinct one once, its table indexed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.dense import make_dense
from automl_core import Arithmetic, Derived, Flat, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Lookups", "join_lookups"]

OPERATOR_CODES = {"+": 1, "-": 2, "*": 3, "/": 4}
LOOKUP, DENSE = 0, 5
MAX_BITS = 20


@dataclass(frozen=True, slots=True, eq=False)
class Lookups:
    """What the kernel needs of derived columns.

    Attributes:
        rows: int64 (derived, 8): for a lookup 0, first and end digit, first key, keys, place in `starts`, bits, first value;
            for a dense one 5, first and end digit, 0, 0, 0, 0, first value; for arithmetic the operator's code, left, right.
        defaults: float32 (derived,).
        digits: int32 (digits, 4): source, equal, and for dense lookups limit and stride. thresholds: float32 (digits,).
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


class _Tables:
    """Collects the arrays of `Lookups`."""

    def __init__(self) -> None:
        self.digits = [np.empty((0, 4), dtype=np.int32)]
        self.thresholds = [np.empty(0, dtype=np.float32)]
        self.keys = [np.empty(0, dtype=np.uint64)]
        self.values = [np.empty(0, dtype=np.float32)]
        self.starts = [np.empty(0, dtype=np.int32)]
        self._digit = self._key = self._value = self._start = 0

    def add(self, item: Lookup) -> list[int]:
        """Add a lookup and return its row."""
        dense = make_dense(item)
        count, digit, value = item.source.size, self._digit, self._value
        shape = (
            np.zeros((count, 2), dtype=np.int64) if dense is None else np.stack([dense.limits, dense.strides], axis=1)
        )
        self.digits.append(np.column_stack([item.source, item.equal, shape]).astype(np.int32))
        self.thresholds.append(item.threshold)
        self.values.append(item.values if dense is None else dense.cells)
        self._digit, self._value = digit + count, value + self.values[-1].size
        if dense is not None:
            return [DENSE, digit, digit + count, 0, 0, 0, 0, value]
        bits = min(max(int(item.keys.size).bit_length(), 1), MAX_BITS)
        heads = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        row = [LOOKUP, digit, digit + count, self._key, item.keys.size, self._start, bits, value]
        self.keys.append(item.keys)
        self.starts.append(np.append(np.searchsorted(item.keys, heads), item.keys.size).astype(np.int32))
        self._key, self._start = self._key + item.keys.size, self._start + self.starts[-1].size
        return row


def _index(derived: Sequence[Derived]) -> Lookups:
    tables = _Tables()
    rows = np.zeros((len(derived), 8), dtype=np.int64)
    defaults = np.zeros(len(derived), dtype=np.float32)
    for i, item in enumerate(derived):
        if isinstance(item, Arithmetic):
            rows[i, :3] = OPERATOR_CODES[item.operator], item.left, item.right
        else:
            rows[i], defaults[i] = tables.add(item), item.default
    joined = {
        name: np.concatenate(getattr(tables, name)) for name in ("digits", "thresholds", "keys", "values", "starts")
    }
    return Lookups(rows=rows, defaults=defaults, **joined)
