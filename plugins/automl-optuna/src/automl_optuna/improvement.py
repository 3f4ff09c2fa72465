"""Which learner is worth the next trial: the estimated cost of improvement of FLAML.

Wang et al. 2021, "FLAML: A fast and lightweight AutoML library" (MLSys), section 4.2 and its implementation.
"""

from __future__ import annotations

from math import inf, isfinite

__all__ = ["Progress"]

LEAST = 1e-9


class Progress:
    """What one learner's trials cost so far, and when they brought something."""

    def __init__(self) -> None:
        self.asked = 0
        self.told = 0
        self.best = inf
        self._previous = inf  # the best loss before the best one
        self._total = 0.0  # cost of all trials
        self._found = 0.0  # cost up to the best one, included
        self._before = 0.0  # cost up to the one before

    def tell(self, loss: float | None, seconds: float) -> None:
        """Take a result; a trial without a time counts as one second, so that untimed ones count by number."""
        self.told += 1
        self._total += seconds if seconds > 0 else 1.0
        if loss is not None and loss < self.best:
            self._previous, self.best = self.best, loss
            self._before, self._found = self._found, self._total

    def cost_of_improvement(self, best: float) -> float:
        """Estimate the seconds until this learner improves, or overtakes the best loss of all.

        It takes as long as the last improvement took, or as was spent in vain since. A learner that is behind needs,
        at its speed so far, twice the time to close the gap.
        """
        cost = max(self._found - self._before, self._total - self._found, LEAST)
        gap, gained = self.best - best, self._previous - self.best
        if gap > 0 and isfinite(gap) and isfinite(gained):
            cost = max(cost, 2 * gap * (self._total - self._before) / gained)
        return cost
