"""When to stop adding trees."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightgbm as lgb

if TYPE_CHECKING:
    from automl_core import Job
    from automl_lightgbm.collective import Collective

__all__ = ["TogetherWatch", "Watch"]

IDLE = 10  # rounds in a row without a tree, after which another bag of rows will hardly bring one


class Watch:
    """A callback that ends training when time is out, when no split is left, or when the loss has not improved for long.

    LightGBM drops a round in whose bag of rows it finds no split: the curve does not count it, nor does the model.

    Attributes:
        curve: the loss of the valid rows after each round, times `scale`.
        best: the round with the lowest loss, from 1; 0 before there is one.
    """

    order = 0
    before_iteration = False

    def __init__(self, job: Job, started: float, *, scale: float = 1.0) -> None:
        self.curve: list[float] = []
        self.best = 0
        self._scale = scale
        self._deadline = None if job.seconds is None else started + job.seconds
        self._most = most_patience(len(job.train))
        self._patient = job.rounds is not None
        self._rounds = self._idle = 0

    def __call__(self, env: lgb.callback.CallbackEnv) -> None:
        losses = env.evaluation_result_list or []
        if self._ends(env.model.current_iteration(), losses):
            raise lgb.callback.EarlyStopException(env.iteration, losses)

    def _ends(self, rounds: int, losses: Sequence[Any]) -> bool:
        self._idle = self._idle + 1 if rounds == self._rounds else 0
        self._rounds = rounds
        if not self._idle and losses and self._hopeless(losses[0][2] * self._scale):
            return True
        return self._idle >= IDLE or (self._deadline is not None and time.monotonic() > self._deadline)

    def _hopeless(self, loss: float) -> bool:
        self.curve.append(loss)
        if self.best == 0 or loss < self.curve[self.best - 1]:
            self.best = len(self.curve)
        waited = len(self.curve) - self.best
        return not self._patient and waited > min(self._most, max(30, round(0.3 * self.best + 20)))


class TogetherWatch(Watch):
    """A watch of a fit in several processes, which end after the same round: the first of them decides."""

    def __init__(self, job: Job, started: float, collective: Collective, *, scale: float = 1.0) -> None:
        super().__init__(job, started, scale=scale)
        self._collective = collective

    def _ends(self, rounds: int, losses: Sequence[Any]) -> bool:
        return self._collective.first(super()._ends(rounds, losses))


def most_patience(rows: int) -> int:
    """Return how many rounds without gain are ever worth it: AutoGluon's 300, fewer from 10,000 rows on."""
    return 300 if rows <= 10_000 else max(30, round(300 * 10_000 / rows))
