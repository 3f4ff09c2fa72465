"""Counts of many workers put together in a folder."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from automl_drift.profile import Counts

__all__ = ["Exchange", "dropped_by_all", "write_dropped"]

MOST_WAITING = 1000  # files of losses, where nobody leads


class Exchange:
    """One folder per model and reference. Each worker adds to a file of its own; one of them, the leader, reads all.

    The leader is who holds a lock that the kernel lets go when a process dies. What a worker that is killed had not
    published is lost: at most the monitor's interval.
    """

    def __init__(self, directory: Path, key: str) -> None:
        self.folder = directory / re.sub(r"[^A-Za-z0-9._-]", "-", key)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._mine = self.folder / f"{os.getpid()}.counts"
        self._rows = self._sent = 0
        self._totals: dict[str, Counts] = {}
        self._seen: dict[str, dict[str, Any]] = {}
        self._lock: IO[bytes] | None = None

    def publish(self, counts: dict[str, Counts], rows: int) -> None:
        """Add to this worker's totals, atomically."""
        self._rows += rows
        for name, more in counts.items():
            self._totals[name] = self._totals[name] + more if name in self._totals else more.copy()
        totals = {name: total.tolist() for name, total in self._totals.items()}
        self._write(self._mine, {"rows": self._rows, "counts": totals})

    def send(self, losses: list[float]) -> bool:
        """Hand losses of labelled rows to the leader; return False where too many wait for one."""
        if len(list(self.folder.glob("*.losses"))) >= MOST_WAITING:
            return False
        self._sent += 1
        self._write(self.folder / f"{os.getpid()}-{self._sent}-{time.time_ns()}.losses", losses)
        return True

    def receive(self) -> list[float]:
        """Take the losses that workers sent, as the leader."""
        losses: list[float] = []
        for path in sorted(self.folder.glob("*.losses")):
            losses += json.loads(path.read_bytes())
            path.unlink()
        return losses

    def lead(self) -> bool:
        """Return whether this worker leads, taking the lead if nobody has it."""
        if self._lock is None:
            lock = (self.folder / "lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def collect(self) -> list[tuple[dict[str, Counts], int]]:
        """Return what each worker published since the leader's last look."""
        found = []
        for path in sorted(self.folder.glob("*.counts")):
            body = json.loads(path.read_bytes())
            before = self._seen.get(path.name, {"rows": 0, "counts": {}})
            if body["rows"] < before["rows"]:  # another process of the same number
                before = {"rows": 0, "counts": {}}
            rows = body["rows"] - before["rows"]
            if rows:
                found.append(
                    ({name: _less(now, before["counts"].get(name)) for name, now in body["counts"].items()}, rows)
                )
            self._seen[path.name] = body
            if not _alive(int(path.stem)):
                path.unlink()
                del self._seen[path.name]
        return found

    def save(self, state: dict[str, Any], text: str, summary: dict[str, Any]) -> None:
        """Keep the leader's state, for who leads next, and what all workers say of it."""
        self._write(self.folder / "state", {"state": state, "seen": self._seen})
        self._write(self.folder / "said", {"text": text, "summary": summary})

    def load(self) -> dict[str, Any] | None:
        """Return the state that the last leader saved."""
        try:
            body = json.loads((self.folder / "state").read_bytes())
        except FileNotFoundError:
            return None
        self._seen = body["seen"]
        state: dict[str, Any] = body["state"]
        return state

    def said(self) -> tuple[str, dict[str, Any]]:
        """Return the text and the summary that the leader saved last; empty without any."""
        with suppress(FileNotFoundError):
            body = json.loads((self.folder / "said").read_bytes())
            return body["text"], body["summary"]
        return "", {}

    def clear(self) -> None:
        """Delete what this worker wrote, and as the leader what was learned: a model that comes back starts anew."""
        learned = [self.folder / "state", self.folder / "said", *self.folder.glob("*.losses")] if self._lock else []
        for path in (self._mine, *learned):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _write(self, path: Path, body: dict[str, Any] | list[float]) -> None:
        _write(path, body)


def write_dropped(directory: Path, dropped: int) -> None:
    """Tell the other workers of a server how many events this one dropped so far."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / f"{os.getpid()}.dropped", dropped)


def dropped_by_all(directory: Path) -> int:
    """Return how many events all workers dropped, dead ones included: a counter must not fall."""
    return sum(int(path.read_text(encoding="ascii")) for path in directory.glob("*.dropped"))


def _write(path: Path, body: Any) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    temporary.write_text(json.dumps(body), encoding="ascii")
    temporary.replace(path)


def _less(now: list[int], before: list[int] | None) -> Counts:
    counts = np.array(now, dtype=np.int64)
    return counts if before is None else counts - np.array(before, dtype=np.int64)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
