"""When to stop adding trees."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import xgboost as xgb

if TYPE_CHECKING:
    from automl_core import Job

__all__ = ["TogetherWatch", "Watch"]


class Watch(xgb.callback.TrainingCallback):  # type: ignore[misc]  # xgboost has no types
    """Ends training when time is out, or when the valid loss has not improved for long.

    Attributes:
        curve: the loss of the valid rows after each round, times `scale`.
        best: the round with the lowest loss, from 1; 0 before there is one.
    """

    def __init__(self, job: Job, started: float, *, scale: float = 1.0) -> None:
        super().__init__()
        self.curve: list[float] = []
        self.best = 0
        self._scale = scale
        self._deadline = None if job.seconds is None else started + job.seconds
        self._most = most_patience(len(job.train))
        self._patient = job.rounds is not None

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Return whether to stop."""
        for metrics in evals_log.values():
            (losses,) = metrics.values()
            if self._hopeless(float(losses[-1]) * self._scale):
                return True
        return self._late()

    def _late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def _hopeless(self, loss: float) -> bool:
        self.curve.append(loss)
        if self.best == 0 or loss < self.curve[self.best - 1]:
            self.best = len(self.curve)
        waited = len(self.curve) - self.best
        return not self._patient and waited > min(self._most, max(30, round(0.3 * self.best + 20)))


class TogetherWatch(Watch):
    """A watch of a fit in several processes, which end after the same round: when time is out for the first of them."""

    def _late(self) -> bool:
        return self._deadline is not None and bool(xgb.collective.broadcast(super()._late(), 0))


def most_patience(rows: int) -> int:
    """Return how many rounds without gain are ever worth it: AutoGluon's 300, fewer from 10,000 rows on."""
    return 300 if rows <= 10_000 else max(30, round(300 * 10_000 / rows))
