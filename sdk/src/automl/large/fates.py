"""What becomes of each row: learned from, watched by fits on all rows, or held out; a hash of its number decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Fates", "order", "row_hash", "side"]

SIDES = 20  # one row in so many may be watched, and another one held out
WATCHED, HELD_OUT = 0, 1


def row_hash(start: int, count: int, seed: int) -> NDArray[np.uint64]:
    """Return a hash of each row's number, the same whatever the batches: splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def side(hashes: NDArray[np.uint64], which: int) -> NDArray[np.bool_]:
    """Return which rows may be watched, or held out."""
    chosen: NDArray[np.bool_] = hashes % np.uint64(SIDES) == which
    return chosen


def order(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return what orders the rows of a side at random, independent of the side."""
    return hashes // np.uint64(SIDES)


@dataclass(frozen=True, slots=True, eq=False)
class Fates:
    """The rows of two sides up to a place in their order; all other rows with a target are learned from.

    Attributes:
        watched, held_out: the last place of each side, None where it has no rows.
        learned: int64, numbers of rows that are learned from although they would be of a side: the only ones of a label.
    """

    watched: np.uint64 | None
    held_out: np.uint64 | None
    learned: NDArray[np.int64]

    def are_held_out(self, hashes: NDArray[np.uint64], start: int) -> NDArray[np.bool_]:
        """Return which of the rows from number `start` on are held out, as far as they have a target."""
        return self._are(HELD_OUT, self.held_out, hashes, start)

    def are_learned(self, hashes: NDArray[np.uint64], start: int) -> NDArray[np.bool_]:
        """Return which of the rows from number `start` on may be learned from, as far as they have a target."""
        return ~(self._are(WATCHED, self.watched, hashes, start) | self._are(HELD_OUT, self.held_out, hashes, start))

    def _are(self, which: int, last: np.uint64 | None, hashes: NDArray[np.uint64], start: int) -> NDArray[np.bool_]:
        if last is None:
            return np.zeros(len(hashes), dtype=np.bool_)
        chosen = side(hashes, which) & (order(hashes) <= last)
        inside = self.learned[(self.learned >= start) & (self.learned < start + len(hashes))]
        chosen[inside - start] = False
        return chosen
