"""Random search (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from automl_core import Search, Space, Trial, Unseen, did_you_mean

__all__ = ["RandomSearch"]


class RandomSearch(Search):
    """Draws a learner, then its configuration, uniformly; never a configuration twice, nor one that it was told."""

    def __init__(self) -> None:
        self._unseen: dict[str, Unseen] = {}
        self._rng = Random(0)  # noqa: S311 - not for secrets
        self._asked = 0

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self._rng, self._asked = Random(seed), 0  # noqa: S311 - not for secrets
        self._unseen = {name: Unseen(space, self._rng) for name, space in spaces.items()}

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """See `Search.ask`.

        Raises:
            ValueError: there is no learner of that name.
        """
        if learner is not None and learner not in self._unseen:
            raise ValueError(f"search 'random' knows no learner {learner!r}.{did_you_mean(learner, self._unseen)}")
        asked: list[Trial] = []
        while len(asked) < count:
            names = [name for name in self._unseen if not self._unseen[name].exhausted and learner in (None, name)]
            if not names:
                break
            name = self._rng.choice(names)
            params = self._unseen[name].draw()
            if params is None:
                continue  # it is exhausted now, and not chosen again
            asked.append(Trial(self._asked, name, params))
            self._asked += 1
        return asked

    def tell(self, trial: Trial) -> None:
        if trial.learner in self._unseen:
            self._unseen[trial.learner].take(trial.params)

    @property
    def exhausted(self) -> bool:
        return all(unseen.exhausted for unseen in self._unseen.values())
