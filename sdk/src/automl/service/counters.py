"""Counts in memory that forked workers share: each writes its own part, everybody reads the sum."""

from __future__ import annotations

from bisect import bisect_left
from mmap import mmap

__all__ = ["BOUNDS", "Counters"]

# Upper bounds of latency in seconds: a fast service lives below the 5 ms where usual buckets begin.
BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
FIELDS = (
    "requests", "rows", "local_hits", "remote_hits", "misses", "errors", "refused", "dropped_events", "reloads",
    "opened", "closed", "pending_rows", "nanoseconds", *(f"le_{bound}" for bound in (*BOUNDS, "inf")),
)  # fmt: skip
PLACES = {name: place for place, name in enumerate(FIELDS)}
REQUESTS, ROWS, HITS, MISSES = (PLACES[name] for name in ("requests", "rows", "local_hits", "misses"))
FIRST_BUCKET, NANOSECONDS = PLACES[f"le_{BOUNDS[0]}"], PLACES["nanoseconds"]


class Counters:
    """One part for each of `slots` processes; a part has one writer at a time, so nothing is locked."""

    def __init__(self, slots: int = 1) -> None:
        self._memory = mmap(-1, 8 * len(FIELDS) * slots)
        self._all = memoryview(self._memory).cast("q")
        self.slots = slots
        self.take(0)

    def take(self, slot: int, *, clear: bool = False) -> None:
        """Write to this part from now on; `clear` resets what is no count but a state, after a death."""
        self._mine = self._all[slot * len(FIELDS) : (slot + 1) * len(FIELDS)]
        if clear:
            for name in ("opened", "closed", "pending_rows"):
                self.set(name, 0)

    def add(self, name: str, count: int = 1) -> None:
        self._mine[PLACES[name]] += count

    def add_to(self, slot: int, name: str) -> None:
        """Count for another process something that it does not count itself."""
        self._all[slot * len(FIELDS) + PLACES[name]] += 1

    def set(self, name: str, value: int) -> None:
        self._mine[PLACES[name]] = value

    def add_rows(self, rows: int, hits: int) -> None:
        """Count rows that were answered, and those of them that were known."""
        mine = self._mine
        mine[ROWS] += rows
        if hits:
            mine[HITS] += hits
        mine[MISSES] += rows - hits

    def add_request(self, seconds: float) -> None:
        """Count a request and its latency."""
        mine = self._mine
        mine[REQUESTS] += 1
        mine[FIRST_BUCKET + bisect_left(BOUNDS, seconds)] += 1
        mine[NANOSECONDS] += int(seconds * 1e9)

    def own(self, name: str) -> int:
        return self._mine[PLACES[name]]

    def by_slot(self, name: str) -> list[int]:
        return [self._all[slot * len(FIELDS) + PLACES[name]] for slot in range(self.slots)]

    def totals(self) -> dict[str, int]:
        """Return the sum over all parts by name; buckets are not cumulative."""
        return {name: sum(self.by_slot(name)) for name in FIELDS}
