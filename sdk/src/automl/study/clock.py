"""Wall-clock budgets: when to stop looking, and when the answer is due."""

from __future__ import annotations

import time
from dataclasses import dataclass

__all__ = ["Clock"]

MARGIN = 0.02  # of the time limit: what scheduling and saving may cost, at least MARGIN_SECONDS
MARGIN_SECONDS = 0.3


@dataclass(slots=True)
class Clock:
    """A deadline in seconds since `started` (of `time.monotonic`), and what is kept back for the end.

    Attributes:
        limit: seconds from the start to the answer; None without a limit.
        reserve: seconds before the deadline that are for ensembling, refits and flattening.
        later: seconds before these that are for a second round of the search.
    """

    limit: float | None
    started: float
    reserve: float = 0.0
    later: float = 0.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds until the answer is due, a margin taken off; infinite without a limit."""
        if self.limit is None:
            return float("inf")
        return self.limit - self.elapsed - max(MARGIN * self.limit, min(MARGIN_SECONDS, 0.2 * self.limit))

    @property
    def search_left(self) -> float:
        """Seconds until the search, or the first round of it, must end."""
        return self.left - self.reserve - self.later
