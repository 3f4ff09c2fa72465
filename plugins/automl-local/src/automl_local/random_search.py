"""Random search (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from random import Random

from automl_core import Params, Search, Space, Trial, did_you_mean

__all__ = ["RandomSearch"]

GRID = 10_000  # a finite space up to this size is dealt out like a pack of cards
REPEATS = 1_000  # draws in a row that bring nothing new, after which a larger finite space counts as used up


class RandomSearch(Search):
    """Draws a learner, then its configuration, uniformly; never a configuration twice, nor one that it was told."""

    def __init__(self) -> None:
        self._decks: dict[str, _Deck] = {}
        self._rng = Random(0)  # noqa: S311 - not for secrets
        self._asked = 0

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self._rng, self._asked = Random(seed), 0  # noqa: S311 - not for secrets
        self._decks = {name: _Deck(space, self._rng) for name, space in spaces.items()}

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """See `Search.ask`.

        Raises:
            ValueError: there is no learner of that name.
        """
        if learner is not None and learner not in self._decks:
            raise ValueError(f"search 'random' knows no learner {learner!r}.{did_you_mean(learner, self._decks)}")
        asked: list[Trial] = []
        while len(asked) < count:
            names = [name for name in self._decks if not self._decks[name].empty and learner in (None, name)]
            if not names:
                break
            name = self._rng.choice(names)
            asked.append(Trial(self._asked, name, self._decks[name].draw()))
            self._asked += 1
        return asked

    def tell(self, trial: Trial) -> None:
        if trial.learner in self._decks:
            self._decks[trial.learner].discard(trial.params)

    @property
    def exhausted(self) -> bool:
        return all(deck.empty for deck in self._decks.values())


class _Deck:
    """The configurations of one space that were not drawn yet; one is always drawn ahead, to know whether any is."""

    def __init__(self, space: Space, rng: Random) -> None:
        self._space, self._rng = space, rng
        self._seen: set[frozenset[tuple[str, str]]] = set()
        self._cards: list[Params] | None = None
        if space.size < float("inf"):
            cards = list(islice(space.grid(), GRID + 1))
            self._cards = rng.sample(cards, len(cards)) if len(cards) <= GRID else None
        self._next = self._find()

    @property
    def empty(self) -> bool:
        return self._next is None

    def draw(self) -> Params:
        drawn = self._next
        if drawn is None:
            raise IndexError("draw from an empty deck")
        self._seen.add(_identify(drawn))
        self._next = self._find()
        return drawn

    def discard(self, params: Params) -> None:
        self._seen.add(_identify(params))
        if self._next is not None and _identify(self._next) in self._seen:
            self._next = self._find()

    def _find(self) -> Params | None:
        if self._cards is not None:
            while self._cards:
                card = self._cards.pop()
                if _identify(card) not in self._seen:
                    return card
            return None
        for _ in range(REPEATS):
            params = self._space.sample(self._rng)
            if _identify(params) not in self._seen:
                return params
        return None


def _identify(params: Params) -> frozenset[tuple[str, str]]:
    return frozenset((name, repr(value)) for name, value in params.items())
