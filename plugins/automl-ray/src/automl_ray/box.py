"""The way home for what ended: an actor between Ray Tune and the study. Imports nothing, as it must be there first."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Box"]


class Box:
    """An actor that holds what ended until the study takes it, and whether to stop.

    A queue of Ray's would take one item a call, and could not tell Tune, which may run on another machine, to stop.
    """

    def __init__(self) -> None:
        self._items: list[bytes] = []
        self._reports: dict[int, dict[str, Any]] = {}
        self._filled = asyncio.Event()
        self._stopped = False

    async def put(self, item: bytes, trial: int = -1, report: dict[str, Any] | None = None) -> None:
        """Keep an item, and what a trial that ended with it reports to Tune."""
        self._items.append(item)
        self._filled.set()
        if report is not None:
            self._reports[trial] = report

    async def report(self, trial: int) -> dict[str, Any] | None:
        """Return the last report of a trial that ended: its worker may die before Tune has it."""
        return self._reports.get(trial)

    async def take(self, seconds: float) -> list[bytes]:
        """Return all there is, or wait for the first."""
        if not self._items and seconds > 0:
            try:
                await asyncio.wait_for(self._filled.wait(), seconds)
            except TimeoutError:
                return []
        items, self._items = self._items, []
        self._filled.clear()
        return items

    async def stop(self) -> None:
        self._stopped = True

    async def stopped(self) -> bool:
        return self._stopped
