"""What a study has to tell, on disk first: nothing is lost when MLflow is away or the process is killed."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Line", "Spool", "leftovers"]

RECORDS, SENT, FILES = "records.jsonl", "sent.jsonl", "files"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to tell. `time` is in seconds since the epoch; `kind` is study, trial, artifact or end."""

    number: int
    kind: str
    time: float
    body: dict[str, Any]


class Spool:
    """A folder of records in the order they came, what of them was sent, and copies of files.

    Whoever has it open holds its lock: one process writes and sends it, and after that one's death another one sends it.

    Args:
        records: a descriptor of the records, of the process that has it open: the lock is then that one's and this one's.

    Raises:
        BlockingIOError: another process has it open.
    """

    def __init__(self, folder: Path, *, records: int | None = None) -> None:
        self.folder = folder
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        self._records = (folder / RECORDS).open("ab") if records is None else os.fdopen(records, "ab")
        try:
            fcntl.flock(self._records, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._records.close()
            raise
        self.sent: dict[int, str] = {}
        self.made: dict[int, str] = {}
        for entry in map(json.loads, _whole_lines(folder / SENT)):
            (self.sent if entry["whole"] else self.made)[entry["line"]] = entry["run"]
        self._offset = self._number = 0

    @classmethod
    def make(cls, root: Path, study: str) -> Spool:
        return cls(root / f"{study}-{secrets.token_hex(4)}")

    def fileno(self) -> int:
        """Return the descriptor of the records, which holds the lock."""
        return self._records.fileno()

    def append(self, kind: str, time: float, body: dict[str, Any]) -> None:
        """Add a record; takes microseconds, as nobody waits for the disk."""
        self._records.write(json.dumps({"kind": kind, "time": time, "body": body}).encode() + b"\n")
        self._records.flush()

    def keep(self, name: str, path: Path) -> str:
        """Copy a file, and return the copy's path within the folder."""
        target = self.folder / FILES / secrets.token_hex(4) / Path(name).name
        target.parent.mkdir()
        shutil.copyfile(path, target)
        return str(target.relative_to(self.folder))

    def new(self) -> Iterator[Line]:
        """Yield the whole records that were not yielded yet."""
        with (self.folder / RECORDS).open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                self._number += 1
                entry = json.loads(line)
                yield Line(self._number, entry["kind"], entry["time"], entry["body"])

    def mark(self, number: int, run: str, *, whole: bool = True) -> None:
        """Note that a record was sent, and the run that it went to; not `whole` where only the run was made so far."""
        with (self.folder / SENT).open("ab") as file:
            file.write(json.dumps({"line": number, "run": run, "whole": whole}).encode() + b"\n")
        (self.sent if whole else self.made)[number] = run

    def remove(self) -> None:
        """Delete all of it: everything was sent."""
        shutil.rmtree(self.folder)
        self.close()

    def close(self) -> None:
        self._records.close()


def leftovers(root: Path) -> Iterator[Spool]:
    """Open the spools that nobody has open: of killed processes, and of studies that MLflow was away for."""
    for folder in sorted(path.parent for path in root.glob(f"*/{RECORDS}")):
        if not (folder / RECORDS).stat().st_size:
            continue  # just made by another process
        try:
            yield Spool(folder)
        except (BlockingIOError, FileNotFoundError):
            continue


def _whole_lines(path: Path) -> list[bytes]:
    text = path.read_bytes() if path.is_file() else b""
    return [line for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
