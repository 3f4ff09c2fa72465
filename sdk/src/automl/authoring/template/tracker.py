"""A tracker that writes studies to files."""

from __future__ import annotations

from pathlib import Path

from automl_core import Study, Tracker, Trial, encode

__all__ = ["FileTracker"]


class FileTracker(Tracker):
    """Appends to a file per study: a line of JSON for the study, and one for each trial; the last one of an id counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, study: Study) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"{study.id}.jsonl"
        self._write(encode(study))

    def log(self, trial: Trial) -> None:
        self._write(encode(trial))

    def _write(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")
