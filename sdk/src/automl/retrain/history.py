"""The journal of a model's retraining: every decision with its evidence, in the storage of the settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from automl_core import Event, Storage, decode, encode

__all__ = ["ENDS", "History"]

ENDS = ("promoted", "proposed", "rejected", "failed")  # how a run ends; what was proposed is promoted or rejected later
STAGES = (*ENDS, "started", "refused", "rolled_back")


class History:
    """Appends and reads entries: events "retraining" whose `stage` is one of `STAGES`; those of one run share `run`."""

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._log = storage, f"retrain/{name}"

    def entries(self) -> list[Event]:
        """Return all entries, oldest first."""
        records = (decode(record) for _, record in self._storage.read(self._log))
        return [record for record in records if isinstance(record, Event)]

    def write(self, stage: str, run: str, **evidence: Any) -> Event:
        """Append an entry."""
        entry = Event("retraining", time.time(), {"stage": stage, "run": run, **evidence})
        self._storage.append(self._log, encode(entry))
        return entry

    def refuse(self, reason: str, because: str) -> Event:
        """Note a run that did not start, unless the last entry says the same."""
        last = self.entries()[-1:]
        if last and last[0].attributes["stage"] == "refused" and last[0].attributes["reason"] == reason:
            return last[0]
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
            self.write("failed", run, reason=f"run {running} was under way")
            return None
        return run

    def running(self, *, lease: float) -> str | None:
        """Return the run that is under way: the first that started, did not end, and is not too old."""
        open_runs: dict[str, float] = {}
        for entry in self.entries():
            run = entry.attributes["run"]
            if entry.attributes["stage"] == "started":
                open_runs[run] = entry.time
            elif entry.attributes["stage"] in ENDS:
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
            if entry.attributes["stage"] in (*ENDS, "rolled_back"):
                return None
        return None
