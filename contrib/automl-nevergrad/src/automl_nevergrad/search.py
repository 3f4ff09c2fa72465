"""The search of this plugin: one optimizer per learner, and the choice between learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from typing import Any

import nevergrad as ng

from automl_core import Search, SettingsError, Space, Trial, did_you_mean
from automl_nevergrad.model import LearnerModel, finite_loss

__all__ = ["NevergradSearch"]


class NevergradSearch(Search):
    """Each learner has an optimizer of its own.

    First every learner has a turn; then every second trial goes to the one with the best loss so far, the others to
    the one that was asked least.

    Args:
        optimizer: a name of `nevergrad.optimizers.registry`; the settings name those that were tried. Others may need
            results in the order asked, as NGOpt does where it chooses one of SciPy's.
        budget: trials of a learner for which the optimizer plans; it goes on after that.

    Raises:
        SettingsError: Nevergrad has no such optimizer.
    """

    def __init__(self, optimizer: str = "OnePlusOne", *, budget: int = 100) -> None:
        if optimizer not in ng.optimizers.registry:
            hint = did_you_mean(optimizer, ng.optimizers.registry)
            raise SettingsError(f"plugins.nevergrad.optimizer = {optimizer!r} is no optimizer of Nevergrad.{hint}")
        self._optimizer, self._budget = optimizer, budget
        self._models: dict[str, LearnerModel] = {}
        self._best: dict[str, float] = {}
        self._turns: dict[str, int] = {}
        self._running: dict[int, tuple[Trial, Any]] = {}
        self._asked = 0

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        rng = Random(seed)  # noqa: S311 - not for secrets
        self._models = {
            name: LearnerModel(
                space,
                self._optimizer,
                Random(rng.getrandbits(64)),  # noqa: S311 - not for secrets
                budget=self._budget,
            )
            for name, space in spaces.items()
        }
        self._best, self._turns = dict.fromkeys(spaces, inf), dict.fromkeys(spaces, 0)
        self._running, self._asked = {}, 0

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """See `Search.ask`.

        Raises:
            ValueError: there is no learner of that name.
        """
        if learner is not None and learner not in self._models:
            raise ValueError(f"search 'nevergrad' knows no learner {learner!r}.{did_you_mean(learner, self._models)}")
        asked: list[Trial] = []
        while len(asked) < count:
            name = self._choose(learner)
            if name is None:
                break
            proposed = self._models[name].ask()
            if proposed is None:
                continue  # it is exhausted now, and not chosen again
            trial = Trial(self._asked, name, proposed[1])
            self._asked += 1
            self._turns[name] += 1
            self._running[trial.id] = trial, proposed[0]
            asked.append(trial)
        return asked

    def tell(self, trial: Trial) -> None:
        model = self._models.get(trial.learner)
        if model is None:
            return
        loss = finite_loss(trial)
        if loss is not None:
            self._best[trial.learner] = min(self._best[trial.learner], loss)
        own = self._running.get(trial.id)
        if own is not None and (own[0].learner, own[0].params) == (trial.learner, trial.params):
            del self._running[trial.id]
            model.tell(own[1], trial)
        else:
            model.learn(trial)

    @property
    def exhausted(self) -> bool:
        return all(model.exhausted for model in self._models.values())

    def _choose(self, learner: str | None) -> str | None:
        names = [name for name, model in self._models.items() if not model.exhausted and learner in (None, name)]
        if not names:
            return None
        least = min(names, key=lambda name: self._turns[name])
        if not self._turns[least] or self._asked % 2:
            return least
        return min(names, key=lambda name: (self._best[name], self._turns[name]))
