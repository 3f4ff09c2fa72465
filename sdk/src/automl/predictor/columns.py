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
    wanted = [
        _wanted(flat, np.concatenate([np.arange(inputs), place])) for flat, place in zip(flats, places, strict=True)
    ]
    kinds = np.unique(np.concatenate([np.array([[LOWEST, 0]]), *(w[w[:, 0] >= 0] for w in wanted)]), axis=0)
    lowest = int(np.flatnonzero(kinds[:, 0] == LOWEST)[0])
    span = int(kinds[:, 1].max()) + 1
    keys = kinds[:, 0] * span + kinds[:, 1]
    found = [np.where(w[:, 0] >= 0, np.searchsorted(keys, w[:, 0] * span + w[:, 1]), -1) for w in wanted]
    return Columns(kinds.astype(np.int32), lowest, lowest + 1), found


def _wanted(flat: Flat, wide: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (kind, source) per node or column; kind -1 for what is not read."""
    if isinstance(flat, Additive):
        used = (flat.weight != 0).any(axis=1) | (flat.missing != 0).any(axis=1) | (flat.table_start >= 0)
        return np.stack([np.where(used, COPY, -1), wide], axis=1)
    kind = np.where(flat.category >= 0, SLOT, np.where(flat.missing_left, NEGATE, COPY))
    leaf = flat.feature < 0
    return np.stack([np.where(leaf, LOWEST, kind), np.where(leaf, 0, wide[np.maximum(flat.feature, 0)])], axis=1)
