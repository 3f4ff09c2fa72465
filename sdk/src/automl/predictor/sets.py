"""Sets of codes that nodes ask for, by slot: 0 is missing, 1 + c is code c."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from automl_core import Flat, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sets", "join_sets"]

Sets: TypeAlias = "NDArray[np.uint32]"
"""Sets one after the other: a limit, then words of bits. Slots from the limit on are outside; the bit at it is 0."""


def join_sets(flats: Sequence[Flat]) -> tuple[Sets, list[NDArray[np.int64]]]:
    """Store each set that a flat model names once.

    Returns:
        The sets, an empty one first, and per flat the place of each node's set, 0 for nodes without.
    """
    stored: list[NDArray[np.uint32]] = [np.zeros(2, dtype=np.uint32)]
    size = 2
    places = []
    for flat in flats:
        place = np.zeros(len(flat.feature) if isinstance(flat, Forest) else 0, dtype=np.int64)
        places.append(place)
        if not isinstance(flat, Forest):
            continue
        nodes = np.flatnonzero((flat.feature >= 0) & (flat.category >= 0))
        # One number each, below 2 ** 63, as rows cost more to sort.
        asked = flat.words[nodes].astype(np.int64) << 32 | flat.category[nodes].astype(np.int64) << 1
        keys, which = np.unique(asked | flat.missing_left[nodes], return_inverse=True)
        distinct = np.stack([keys >> 32, keys >> 1 & 0x7FFFFFFF, keys & 1], axis=1)
        found = np.zeros(len(distinct), dtype=np.int64)
        for words in np.flatnonzero(np.bincount(distinct[:, 0])):
            same = np.flatnonzero(distinct[:, 0] == words)
            rows = _with_missing(flat.bits, distinct[same])
            found[same] = size + np.arange(len(same)) * rows.shape[1]
            stored.append(rows.ravel())
            size += rows.size
        place[nodes] = found[which.ravel()]
    return np.concatenate(stored), places


def _with_missing(bits: NDArray[np.uint32], asked: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return (sets, words + 2): the limit, then the bits moved up by one, with missing in front.

    Args:
        asked: (sets, 3): words, the same for all, first word, whether missing is inside.
    """
    words = int(asked[0, 0])
    own = bits[asked[:, 1, None] + np.arange(words)].reshape(len(asked), words)
    moved = np.zeros((len(asked), words + 2), dtype=np.uint32)
    moved[:, 0] = 32 * words + 1
    moved[:, 1] = asked[:, 2]
    moved[:, 1 : words + 1] |= own << np.uint32(1)
    moved[:, 2:] |= own >> np.uint32(31)
    return moved
