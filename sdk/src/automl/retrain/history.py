"""The journal of a model's retraining: every decision with its evidence, in the storage of the settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from automl_core import Event, Storage, decode, encode

__all__ = ["ENDS", "STAGES", "History"]

ENDS = ("promoted", "proposed", "rejected", "failed")  # how a run ends; what was proposed is promoted or rejected later
STAGES = (*ENDS, "started", "refused", "rolled_back")
QUIET = 3600.0  # seconds in which the same refusal is written once


class History:
    """Appends and reads entries: events "retraining" whose `stage` is one of `STAGES`; those of one run share `run`.

    What failed or was refused before a run began has an empty `run`.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._log = storage, f"retrain/{name}"

    def entries(self) -> list[Event]:
        """Return all entries, oldest first."""
        return [entry for _, entry in self.news()]

    def news(self, after: int = 0) -> list[tuple[int, Event]]:
        """Return the entries after a number, oldest first, each with its number."""
        records = ((number, decode(record)) for number, record in self._storage.read(self._log, after))
        return [(number, record) for number, record in records if isinstance(record, Event)]

    def write(self, stage: str, run: str, **evidence: Any) -> Event:
        """Append an entry."""
        entry = Event("retraining", time.time(), {"stage": stage, "run": run, **evidence})
        self._storage.append(self._log, encode(entry))
        return entry

    def refuse(self, reason: str, because: str) -> Event:
        """Note a run that did not start, unless the last entry said the same within an hour."""
        for last in self.entries()[-1:]:
            same = last.attributes["stage"] == "refused" and last.attributes["reason"] == reason
            if same and abs(time.time() - last.time) < QUIET:
                return last
        return self.write("refused", "", reason=reason, because=because)

    def begin(self, because: str, *, lease: float) -> str | None:
        """Start a run and return its name; None where another one is under way, on this machine or another.

        All runs are appended to one log: of two that begin at once the earlier entry wins. A run whose process died
        counts for `lease` seconds.
        """
        run = uuid4().hex[:12]
        self.write("started", run, because=because)
        running = self.running(lease=lease)
        if running != run:
            self.write("refused", run, reason=f"single flight: run {running} is under way", because=because)
            return None
        return run

    def running(self, *, lease: float) -> str | None:
        """Return the run that is under way: the first that started, did not end, and is not too old."""
        open_runs: dict[str, float] = {}
        for entry in self.entries():
            run = entry.attributes["run"]
            if entry.attributes["stage"] == "started":
                open_runs[run] = entry.time
            elif entry.attributes["stage"] in (*ENDS, "refused"):
                open_runs.pop(run, None)
        now = time.time()
        return next((run for run, began in open_runs.items() if abs(now - began) < lease), None)

    def last_promotion(self) -> Mapping[str, Any] | None:
        """Return what was written of the promotion in force, with its `time`; None without one, or after a roll-back."""
        for entry in reversed(self.entries()):
            if entry.attributes["stage"] == "rolled_back":
                return None
            if entry.attributes["stage"] == "promoted":
                return {**entry.attributes, "time": entry.time}
        return None

    def proposal(self) -> Mapping[str, Any] | None:
        """Return what was written of the challenger that is being tried, with its `time`; None without one."""
        for entry in reversed(self.entries()):
            if entry.attributes["stage"] == "proposed":
                return {**entry.attributes, "time": entry.time}
            if entry.attributes["stage"] in (*ENDS, "rolled_back") and entry.attributes["run"]:
                return None
        return None
