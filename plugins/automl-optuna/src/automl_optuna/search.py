"""The search of this plugin: one Optuna study per learner, and the choice between learners."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import isfinite
from random import Random

import optuna

from automl_core import Search, Space, Trial, TrialState, did_you_mean
from automl_optuna.improvement import Progress
from automl_optuna.model import LearnerModel
from automl_optuna.samplers import make_sampler

__all__ = ["OptunaSearch"]

# Its "A new study created in memory" would be one line per learner; what users set for "optuna" stays.
logging.getLogger("optuna.storages").setLevel(logging.WARNING)


class OptunaSearch(Search):
    """Learners compete by estimated cost of improvement (see `improvement`); each has its own study in memory.

    Args:
        sampler: "tpe", "random", "cmaes" or "gp".
        startup: results of a learner before its model proposes.
    """

    def __init__(self, sampler: str = "tpe", *, startup: int = 10) -> None:
        self._sampler, self._startup = sampler, startup
        self._rng = Random(0)  # noqa: S311 - not for secrets
        self._models: dict[str, LearnerModel] = {}
        self._progress: dict[str, Progress] = {}
        self._running: dict[int, tuple[Trial, optuna.Trial]] = {}
        self._asked = 0

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - not for secrets
        self._models = {
            name: LearnerModel(
                space,
                make_sampler(self._sampler, seed=self._rng.getrandbits(32), startup=self._startup),
                Random(self._rng.getrandbits(32)),  # noqa: S311 - not for secrets
            )
            for name, space in spaces.items()
        }
        self._progress = {name: Progress() for name in spaces}
        self._running, self._asked = {}, 0

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """See `Search.ask`.

        Raises:
            ValueError: there is no learner of that name.
        """
        if learner is not None and learner not in self._models:
            raise ValueError(f"search 'optuna' knows no learner {learner!r}.{did_you_mean(learner, self._models)}")
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
            self._progress[name].asked += 1
            self._running[trial.id] = trial, proposed[0]
            asked.append(trial)
        return asked

    def tell(self, trial: Trial) -> None:
        if trial.learner not in self._models:
            return
        complete = trial.state == TrialState.COMPLETE and trial.loss is not None and isfinite(trial.loss)
        self._progress[trial.learner].tell(trial.loss if complete else None, trial.seconds)
        model = self._models[trial.learner]
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
        if len(names) < 2:
            return names[0] if names else None
        progress = self._progress
        fresh = [name for name in names if not progress[name].told and not progress[name].asked]
        if fresh:
            return fresh[0]
        tried = [name for name in names if progress[name].told]
        if not tried:
            return min(names, key=lambda name: progress[name].asked)
        best = min(one.best for one in progress.values())
        return self._rng.choices(tried, [1 / progress[name].cost_of_improvement(best) for name in tried])[0]
