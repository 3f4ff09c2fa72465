"""Which columns a program reads, and in which form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Additive, Flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COPY", "LOWEST", "NEGATE", "SLOT", "Columns", "assign_columns"]

COPY, NEGATE, LOWEST, SLOT = 0, 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """How a block of rows is filled, in the order copies, negated columns, minus infinity, slots of codes.

    Attributes:
        fills: int32 (width, 2): kind, and source: an encoded column, or a derived one behind them.
        lowest: the column that is minus infinity, which leaves ask. first_set: from which on columns hold slots.
    """

    fills: NDArray[np.int32]
    lowest: int
    first_set: int


def assign_columns(
    flats: Sequence[Flat], places: Sequence[NDArray[np.int64]], *, inputs: int
) -> tuple[Columns, list[NDArray[np.int32]]]:
    """Choose the columns of the block.

    Args:
        places: per flat, the number of each of its derived columns among all.

    Returns:
        The columns, and per flat the column, int32, that each node (or each column of an additive model, -1 without weight)
        reads.
    """
    span = 1 + max([inputs, *(int(place.max()) for place in places if len(place))])
    sources = [np.concatenate([np.arange(inputs), place]).astype(np.int32) for place in places]
    wanted = [_wanted(flat, source, span) for flat, source in zip(flats, sources, strict=True)]
    used = np.zeros(4 * span + 1, dtype=np.bool_)
    used[LOWEST * span] = True
    for keys in wanted:
        used[keys] = True
    used[-1] = False
    number = np.cumsum(used, dtype=np.int32) - np.int32(1)
    number[-1] = -1
    kinds = np.stack(np.divmod(np.flatnonzero(used), span), axis=1)
    lowest = int(number[LOWEST * span])
    return Columns(kinds.astype(np.int32), lowest, lowest + 1), [number[keys] for keys in wanted]


def _wanted(flat: Flat, wide: NDArray[np.int32], span: int) -> NDArray[np.int32]:
    """Return kind * span + source per node or column; -1 for what is not read."""
    if isinstance(flat, Additive):
        used = (flat.weight != 0).any(axis=1) | (flat.missing != 0).any(axis=1) | (flat.table_start >= 0)
        return np.where(used, COPY * span + wide, np.int32(-1))
    keys = np.append(wide + COPY * span, np.int32(LOWEST * span))[np.maximum(flat.feature, -1)]  # leaves read the last
    inner, numeric = flat.feature >= 0, flat.category < 0
    keys += (inner & flat.missing_left & numeric) * np.int32((NEGATE - COPY) * span)
    keys += (inner & ~numeric) * np.int32((SLOT - COPY) * span)
    return keys
