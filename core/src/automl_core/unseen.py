"""What a search has not proposed yet of a space: no configuration twice."""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from automl_core.space import Params, Space

__all__ = ["Unseen"]

GRID = 10_000  # configurations of a finite space up to which it is known when all were taken
DRAWS = 1_000  # random draws in a row that bring nothing new, after which a larger finite space counts as used up


class Unseen:
    """The configurations of a space that were not taken yet; those of a small finite space in a random order.

    Args:
        rng: what `draw` draws with.
    """

    def __init__(self, space: Space, rng: Random) -> None:
        self._space, self._rng = space, rng
        self._seen: set[frozenset[tuple[str, str]]] = set()
        self._grid: list[Params] | None = None
        if space.size < inf:
            grid = list(islice(space.grid(), GRID + 1))
            self._grid = rng.sample(grid, len(grid)) if len(grid) <= GRID else None
        self._dry = False

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        if self._grid is None:
            return self._dry
        while self._grid and _identify(self._grid[-1]) in self._seen:
            self._grid.pop()
        return not self._grid

    def take(self, params: Params) -> bool:
        """Remember a configuration as seen; tell whether it is new."""
        identity = _identify(params)
        new = identity not in self._seen
        self._seen.add(identity)
        return new

    def draw(self) -> Params | None:
        """Draw a configuration at random and take it; None where nothing is left."""
        if self.exhausted:
            return None
        if self._grid is not None:
            params = self._grid[-1]  # `exhausted` removed what was taken
            self.take(params)
            return params
        for _ in range(DRAWS):
            params = self._space.sample(self._rng)
            if self.take(params):
                return params
        self._dry = True
        return None


def _identify(params: Params) -> frozenset[tuple[str, str]]:
    # By their text, as 1, 1.0 and True are equal and yet different options.
    return frozenset((name, repr(value)) for name, value in params.items())
