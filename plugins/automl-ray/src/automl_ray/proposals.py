"""What to try next, over the spaces of several learners: Optuna's proposals."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from automl_core import Choice, Dimension, Float, Scalar, Space, Trial, TrialState

__all__ = ["Proposals"]

# Its "A new study created in memory" says nothing of use; what users set for "optuna" stays.
logging.getLogger("optuna.storages").setLevel(logging.WARNING)
DRAWS = 100  # in a row that were tried before, after which a space counts as used up
SAMPLERS: Mapping[str, Callable[[int], Any]] = {
    "optuna": lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
}


class Proposals:
    """One study of Optuna over all learners, in memory; the learner is its first parameter. Picklable.

    Args:
        algorithm: "optuna" (TPE) or "random".
    """

    def __init__(self, spaces: Mapping[str, Space], *, algorithm: str, seed: int) -> None:
        self._spaces = dict(spaces)
        self._learners = CategoricalDistribution(sorted(spaces)) if spaces else None
        self._study = optuna.create_study(sampler=SAMPLERS[algorithm](seed))
        self._running: dict[int, tuple[Trial, optuna.Trial]] = {}
        self._tried: set[str] = set()
        self._asked = 0

    @property
    def known(self) -> int:
        """How many configurations were told."""
        return len(self._tried)

    @property
    def empty(self) -> bool:
        return not self._spaces

    def ask(self, learner: str | None = None) -> Trial:
        """Propose a running trial of the named learner, or of any; there must be one."""
        if learner is not None:
            self._study.enqueue_trial({"learner": learner})
        drawn = self._study.ask()
        chosen = str(drawn.suggest_categorical("learner", sorted(self._spaces)))
        params: dict[str, Scalar] = {}
        for name, dimension in self._spaces[chosen].items():
            if dimension.when is None or dimension.when.holds(params):
                params[name] = _suggest(drawn, f"{chosen}.{name}", dimension)
        trial = Trial(self._asked, chosen, params)
        self._asked += 1
        self._running[trial.id] = trial, drawn
        return trial

    def ask_new(self) -> Trial | None:
        """Propose what was neither told nor proposed by this before; None where the spaces are used up."""
        for _ in range(DRAWS if self._spaces else 0):
            trial = self.ask()
            key = _key(trial)
            if key not in self._tried:
                self._tried.add(key)
                return trial
            _, drawn = self._running.pop(trial.id)
            self._study.tell(drawn, state=optuna.trial.TrialState.FAIL)
        return None

    def tell(self, trial: Trial) -> None:
        """Take a finished trial, asked for here or not."""
        if trial.learner not in self._spaces:
            return
        self._tried.add(_key(trial))
        good = trial.state == TrialState.COMPLETE and trial.loss is not None and isfinite(trial.loss)
        own, drawn = self._running.get(trial.id, (None, None))
        if own is not None and drawn is not None and (own.learner, own.params) == (trial.learner, trial.params):
            del self._running[trial.id]
            if good:
                self._study.tell(drawn, trial.loss)
            else:
                self._study.tell(drawn, state=optuna.trial.TrialState.FAIL)
        elif good and trial.loss is not None:
            self._study.add_trial(self._foreign(trial, trial.loss))

    def _foreign(self, trial: Trial, loss: float) -> Any:
        """Describe a trial of others; what of it lies outside of the space is left out."""
        params: dict[str, Any] = {"learner": trial.learner}
        distributions: dict[str, BaseDistribution] = {"learner": self._learners or CategoricalDistribution(("",))}
        for name, value in trial.params.items():
            dimension = self._spaces[trial.learner].get(name)
            if dimension is not None and dimension.contains(value):
                full = f"{trial.learner}.{name}"
                distributions[full] = _distribution(dimension)
                params[full] = _number(dimension, value) if isinstance(dimension, Choice) else value
        return optuna.trial.create_trial(params=params, distributions=distributions, value=loss)


def _key(trial: Trial) -> str:
    return json.dumps([trial.learner, dict(trial.params)], sort_keys=True)


def _suggest(drawn: optuna.Trial, name: str, dimension: Dimension) -> Scalar:
    if isinstance(dimension, Choice):
        # By number: options may be equal, as 1 and True are.
        return dimension.options[int(drawn.suggest_categorical(name, list(range(len(dimension.options)))))]
    if isinstance(dimension, Float):
        return float(drawn.suggest_float(name, dimension.low, dimension.high, log=dimension.log))
    return int(drawn.suggest_int(name, dimension.low, dimension.high, log=dimension.log))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(list(range(len(dimension.options))))
    kind: Any = FloatDistribution if isinstance(dimension, Float) else IntDistribution
    made: BaseDistribution = kind(dimension.low, dimension.high, log=dimension.log)
    return made


def _number(dimension: Choice, value: Scalar) -> int:
    return next(i for i, o in enumerate(dimension.options) if o == value and type(o) is type(value))
