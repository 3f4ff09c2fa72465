"""One learner's space as an optimizer of Nevergrad."""

from __future__ import annotations

from math import isfinite
from random import Random
from typing import Any

import nevergrad as ng
import numpy as np
from nevergrad.common.errors import TellNotAskedNotSupportedError

from automl_core import Params, Scalar, Space, Trial, TrialState, Unseen
from automl_nevergrad.encoding import Encoding

__all__ = ["LearnerModel", "finite_loss"]

RETRIES = 5  # proposals that repeat an earlier one, before another is drawn at random


def finite_loss(trial: Trial) -> float | None:
    """Return the loss of a complete trial; None where there is none that counts."""
    if trial.state != TrialState.COMPLETE or trial.loss is None or not isfinite(trial.loss):
        return None
    return trial.loss


class LearnerModel:
    """Proposes configurations of one space, none twice."""

    def __init__(self, space: Space, optimizer: str, rng: Random, *, budget: int) -> None:
        self._encoding = Encoding(space)
        parametrization = self._encoding.parametrize()
        parametrization.random_state = np.random.RandomState(rng.getrandbits(32))
        self._default = dict(parametrization.value)
        self._optimizer: Any = None  # where nothing is free, there is nothing to optimize
        if self._default:
            self._optimizer = ng.optimizers.registry[optimizer](parametrization, budget=budget, num_workers=1)
        self._unseen = Unseen(space, rng)
        self._worst: float | None = None

    @property
    def exhausted(self) -> bool:
        """Whether every configuration is known."""
        return self._unseen.exhausted

    def ask(self) -> tuple[Any, dict[str, Scalar]] | None:
        """Return a candidate and its configuration, or None where there is no further one."""
        if self.exhausted:
            return None
        for _ in range(RETRIES if self._optimizer is not None else 0):
            candidate = self._optimizer.ask()
            params = self._encoding.decode(candidate.value)
            if self._unseen.take(params):
                return candidate, params
        drawn = self._unseen.draw()
        return None if drawn is None else (self._candidate(drawn), dict(drawn))

    def tell(self, candidate: Any, result: Trial) -> None:
        """Take a result; without a loss that counts, a trial was as bad as the worst one so far."""
        loss = finite_loss(result)
        if loss is not None:
            self._worst = loss if self._worst is None else max(self._worst, loss)
        elif self._worst is not None:
            loss = self._worst
        if loss is None or candidate is None:
            return
        try:
            self._optimizer.tell(candidate, loss)
        except TellNotAskedNotSupportedError:
            return  # an optimizer that knows only its own candidates goes on without this one

    def learn(self, result: Trial) -> None:
        """Take a trial that was not asked for as prior knowledge, where it is a whole configuration of the space."""
        if not self._encoding.is_whole(result.params):
            return
        self._unseen.take(result.params)
        if finite_loss(result) is not None:
            self.tell(self._candidate(result.params), result)

    def _candidate(self, params: Params) -> Any:
        if self._optimizer is None:
            return None
        return self._optimizer.parametrization.spawn_child(new_value=self._encoding.encode(params, self._default))
