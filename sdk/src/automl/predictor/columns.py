"""Which columns a program reads, and in which form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.compiled import kernel
from automl_core import Additive, Flat, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COPY", "LOWEST", "NEGATE", "SLOT", "Columns", "assign_columns", "kinds_of"]

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
        The columns, and per flat, int32 (4, its columns): the column of the block that is filled from its column in each
        way, -1 where it does not read that.
    """
    span = 1 + max([inputs, *(int(place.max()) for place in places if len(place))])
    sources = [np.concatenate([np.arange(inputs), place]).astype(np.int64) for place in places]
    asked = [_asked(flat, len(source)) for flat, source in zip(flats, sources, strict=True)]
    used = np.zeros((4, span), dtype=np.bool_)
    used[LOWEST, 0] = True
    for which, source in zip(asked, sources, strict=True):
        kind, own = np.nonzero(which)
        used[kind, source[own]] = True
    number = (np.cumsum(used.ravel(), dtype=np.int32) - np.int32(1)).reshape(used.shape)
    lowest = int(number[LOWEST, 0])
    fills = np.stack(np.nonzero(used), axis=1).astype(np.int32)
    tables = [np.where(which, number[:, source], np.int32(-1)) for which, source in zip(asked, sources, strict=True)]
    return Columns(fills, lowest, lowest + 1), tables


def _asked(flat: Flat, wide: int) -> NDArray[np.bool_]:
    """Return (4, wide): which columns are read in which way."""
    asked = np.zeros((4, wide), dtype=np.bool_)
    if isinstance(flat, Additive):
        asked[COPY] = (flat.weight != 0).any(axis=1) | (flat.missing != 0).any(axis=1) | (flat.table_start >= 0)
    elif kernel is not None:
        given = map(np.ascontiguousarray, (flat.feature, flat.category, flat.missing_left))
        kernel.mark_columns((*given, asked))
    else:
        inner = np.flatnonzero(flat.feature >= 0)
        asked[kinds_of(flat, inner), flat.feature[inner]] = True
    return asked


def kinds_of(forest: Forest, inner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how the column is filled that each of some inner nodes reads."""
    return np.where(forest.category[inner] >= 0, SLOT, np.where(forest.missing_left[inner], NEGATE, COPY))
