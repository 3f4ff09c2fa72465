"""Random search (Bergstra and Bengio 2012)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from automl_core import Search, Space, Trial

__all__ = ["RandomSearch"]


class RandomSearch(Search):
    """Draws a learner, then a configuration of it, and learns nothing from results."""

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self._spaces, self._random, self._asked = dict(spaces), Random(seed), 0  # noqa: S311 - nothing secret

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        asked = []
        for _ in range(count):
            name = learner or self._random.choice(list(self._spaces))
            asked.append(Trial(self._asked, name, self._spaces[name].sample(self._random)))
            self._asked += 1
        return asked

    def tell(self, trial: Trial) -> None:
        """Here a search that learns would use `trial.params` and `trial.loss`, which is None where a trial failed."""
