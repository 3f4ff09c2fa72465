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
) -> tuple[Columns, list[NDArray[np.int64]]]:
    """Choose the columns of the block.

    Args:
        places: per flat, the number of each of its derived columns among all.

    Returns:
        The columns, and per flat the column that each node (or each column of an additive model, -1 without weight) reads.
    """
    span = 1 + max([inputs, *(int(place.max()) for place in places if len(place))])
    sources = [np.concatenate([np.arange(inputs), place]) for place in places]
    wanted = [_wanted(flat, source, span) for flat, source in zip(flats, sources, strict=True)]
    used = np.zeros(4 * span, dtype=np.bool_)
    used[LOWEST * span] = True
    for keys in wanted:
        used[keys[keys >= 0]] = True
    number = np.cumsum(used) - 1
    kinds = np.stack(np.divmod(np.flatnonzero(used), span), axis=1)
    lowest = int(number[LOWEST * span])
    found = [np.where(keys >= 0, number[keys], -1) for keys in wanted]
    return Columns(kinds.astype(np.int32), lowest, lowest + 1), found


def _wanted(flat: Flat, wide: NDArray[np.int64], span: int) -> NDArray[np.int64]:
    """Return kind * span + source per node or column; -1 for what is not read."""
    if isinstance(flat, Additive):
        used = (flat.weight != 0).any(axis=1) | (flat.missing != 0).any(axis=1) | (flat.table_start >= 0)
        return np.where(used, COPY * span + wide, -1)
    kind = np.where(flat.category >= 0, SLOT, np.where(flat.missing_left, NEGATE, COPY))
    return np.where(flat.feature < 0, LOWEST * span, kind * span + wide[np.maximum(flat.feature, 0)])
