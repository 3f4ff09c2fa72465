"""A circuit breaker: after a few failures in a row nobody asks for a while; then one tries."""

from __future__ import annotations

from threading import Lock
from time import monotonic

__all__ = ["Breaker"]


class Breaker:
    """Thread-safe.

    Args:
        failures: in a row, that open it.
        first, longest: seconds that it stays open; doubles with every trial that fails.
    """

    def __init__(self, *, failures: int = 3, first: float = 0.5, longest: float = 10.0) -> None:
        self._limit, self._first, self._longest = failures, first, longest
        self._lock = Lock()
        self._failed = 0
        self._pause = first
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether nobody asks at the moment."""
        return self._failed >= self._limit

    def allow(self) -> bool:
        """Return whether to ask now; while it is open, True once after each pause."""
        if self._failed < self._limit:
            return True
        with self._lock:
            now = monotonic()
            if now < self._until:
                return False
            self._until = now + self._pause  # whoever comes meanwhile does not try as well
            return True

    def succeed(self) -> None:
        if self._failed:
            with self._lock:
                self._failed, self._pause = 0, self._first

    def fail(self) -> None:
        with self._lock:
            self._failed += 1
            if self._failed >= self._limit:
                if self._failed > self._limit:
                    self._pause = min(2 * self._pause, self._longest)
                self._until = monotonic() + self._pause
