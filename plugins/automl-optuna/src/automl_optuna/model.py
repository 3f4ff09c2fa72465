"""One learner's space as an Optuna study."""

from __future__ import annotations

from math import isfinite
from random import Random
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState as OptunaState

from automl_core import Choice, Dimension, Float, Params, Scalar, Space, Trial, TrialState, Unseen

__all__ = ["LearnerModel"]

RETRIES = 5  # proposals that repeat an earlier one, before another is drawn at random


class LearnerModel:
    """Proposes configurations of one space, none twice."""

    def __init__(self, space: Space, sampler: optuna.samplers.BaseSampler, rng: Random) -> None:
        self._space = space
        self._distributions = {name: _distribution(dimension) for name, dimension in space.items()}
        self._study = optuna.create_study(sampler=sampler)
        self._unseen = Unseen(space, rng)

    @property
    def exhausted(self) -> bool:
        """Whether every configuration is known."""
        return self._unseen.exhausted

    def ask(self) -> tuple[optuna.Trial, dict[str, Scalar]] | None:
        """Return a new trial and its parameters, or None where there is no further one."""
        if self.exhausted:
            return None
        for _ in range(RETRIES):
            trial = self._study.ask()
            params = self._suggest(trial)
            if self._unseen.take(params):
                return trial, params
            self._study.tell(trial, state=OptunaState.FAIL)
        drawn = self._unseen.draw()
        if drawn is None:
            return None
        self._study.enqueue_trial(self._encode(drawn))
        trial = self._study.ask()
        return trial, self._suggest(trial)

    def tell(self, trial: optuna.Trial, result: Trial) -> None:
        """Take the result of a trial that was asked for."""
        state, value = _outcome(result)
        self._study.tell(trial, value, state=state)

    def learn(self, result: Trial) -> None:
        """Take a trial that was not asked for as prior knowledge: what of it lies in the space."""
        known = {name: value for name, value in result.params.items() if self._knows(name, value, result.params)}
        if dict(result.params) == known:
            self._unseen.take(known)
        state, value = _outcome(result)
        if known and state != OptunaState.FAIL:
            distributions = {name: self._distributions[name] for name in known}
            params = self._encode(known)
            self._study.add_trial(
                optuna.create_trial(state=state, value=value, params=params, distributions=distributions)
            )

    def _knows(self, name: str, value: Scalar, params: Params) -> bool:
        dimension = self._space.get(name)
        if dimension is None or not dimension.contains(value):
            return False
        return dimension.when is None or dimension.when.holds(params)

    # ---- to and from Optuna, where a choice is the number of its option: options may be equal, as 1 and True are

    def _suggest(self, trial: optuna.Trial) -> dict[str, Scalar]:
        params: dict[str, Scalar] = {}
        for name, dimension in self._space.items():
            if dimension.when is None or dimension.when.holds(params):
                params[name] = _suggest_one(trial, name, dimension)
        return params

    def _encode(self, params: Params) -> dict[str, Any]:
        return {name: _encode_one(self._space[name], value) for name, value in params.items()}


def _suggest_one(trial: optuna.Trial, name: str, dimension: Dimension) -> Scalar:
    if isinstance(dimension, Choice):
        number: int = trial.suggest_categorical(name, range(len(dimension.options)))
        return dimension.options[number]
    if isinstance(dimension, Float):
        return float(trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log))
    return int(trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log))


def _encode_one(dimension: Dimension, value: Scalar) -> Scalar:
    if not isinstance(dimension, Choice):
        return value
    return next(n for n, option in enumerate(dimension.options) if option == value and type(option) is type(value))


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(range(len(dimension.options)))
    kind = FloatDistribution if isinstance(dimension, Float) else IntDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def _outcome(result: Trial) -> tuple[OptunaState, float | None]:
    if result.state == TrialState.PRUNED:
        return OptunaState.PRUNED, None
    if result.state != TrialState.COMPLETE or result.loss is None or not isfinite(result.loss):
        return OptunaState.FAIL, None
    return OptunaState.COMPLETE, result.loss
