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
    """Store each distinct set once.

    Returns:
        The sets, an empty one first, and per flat the place of each node's set, 0 for nodes without.
    """
    stored: list[NDArray[np.uint32]] = [np.zeros(2, dtype=np.uint32)]
    size, known = 2, {}
    places = []
    for flat in flats:
        if not isinstance(flat, Forest):
            places.append(np.empty(0, dtype=np.int64))
            continue
        place = np.zeros(len(flat.feature), dtype=np.int64)
        nodes = np.flatnonzero((flat.feature >= 0) & (flat.category >= 0))
        for words in np.unique(flat.words[nodes]):
            asking = nodes[flat.words[nodes] == words]
            for node, row in zip(asking, _with_missing(flat, asking, int(words)), strict=True):
                key = row.tobytes()
                if key not in known:
                    known[key] = size
                    stored.append(row)
                    size += len(row)
                place[node] = known[key]
        places.append(place)
    return np.concatenate(stored), places


def _with_missing(forest: Forest, nodes: NDArray[np.int64], words: int) -> NDArray[np.uint32]:
    """Return (nodes, words + 2): the limit, then the bits moved up by one, with missing in front."""
    bits = forest.bits[forest.category[nodes][:, None] + np.arange(words)].reshape(len(nodes), words)
    moved = np.zeros((len(nodes), words + 2), dtype=np.uint32)
    moved[:, 0] = 32 * words + 1
    moved[:, 1] = forest.missing_left[nodes]
    moved[:, 1 : words + 1] |= bits << np.uint32(1)
    moved[:, 2:] |= bits >> np.uint32(31)
    return moved
