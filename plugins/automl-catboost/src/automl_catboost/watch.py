"""When a fit ends: time is out, or the valid loss has not improved for long enough."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_core import Job

__all__ = ["Watch"]


class Watch:
    """A callback of CatBoost's training that keeps the curve of the valid loss.

    Attributes:
        curve: the valid loss after round 1, 2, ...; empty without valid rows.
        best: the round with the least of it, from 1; 0 before the first.
    """

    def __init__(self, started: float, job: Job) -> None:
        """Watch a fit that began at `started` of `time.monotonic`."""
        self.curve: list[float] = []
        self.best = 0
        self._deadline = None if job.seconds is None else started + job.seconds
        # AutoGluon's patience: 300 rounds up to 10,000 rows, fewer beyond.
        self._most = 300 if len(job.train) <= 10_000 else max(20, round(300 * 10_000 / len(job.train)))
        self._fixed = job.rounds is not None
        self._last = started
        self._longest = 0.0
        self._rounds = 0

    def after_iteration(self, info: Any) -> bool:
        """Return whether to go on; called by CatBoost with all losses so far."""
        losses = next(iter(info.metrics.get("validation", {}).values()), ())
        if losses:
            self._note(float(losses[-1]))
        return not self._time_is_out() and not self._is_stale()

    def _note(self, loss: float) -> None:
        self.curve.append(loss)
        if self.best == 0 or loss < self.curve[self.best - 1]:
            self.best = len(self.curve)

    def _time_is_out(self) -> bool:
        """Say whether another round would end after the deadline, as rounds went so far."""
        now = time.monotonic()
        # The first round pays for all that CatBoost prepares, so it says nothing of those to come.
        self._longest = max(self._longest, now - self._last) if self._rounds else 0.0
        self._last, self._rounds = now, self._rounds + 1
        return self._deadline is not None and now + self._longest > self._deadline

    def _is_stale(self) -> bool:
        patience = min(self._most, max(30, round(0.3 * self.best + 20)))
        return not self._fixed and len(self.curve) - self.best > patience
