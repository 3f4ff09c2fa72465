"""Studies as JSON lines, for people and tools, and the models that came of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from automl_core import Event, Study, Tracker, Trial, decode, encode
from automl_local.disk import replace_file, reported
from automl_local.logfile import append_record, read_records
from automl_local.names import path_of
from automl_local.registry import FileRegistry

__all__ = ["JournalTracker"]


class JournalTracker(FileRegistry, Tracker):
    """Writes `studies/ID.jsonl`: the study, each finished trial, and how it ended; one line each, as it happens.

    Files of a study go to `artifacts/ID/`. Models and their versions are kept as `FileRegistry` says.

    Raises:
        ComponentUnavailable: the folder cannot be written or read.
    """

    def __init__(self, directory: str | Path) -> None:
        super().__init__(directory)
        self._study: str | None = None

    def start(self, study: Study) -> None:
        self._study = study.id
        self._write(study)

    def log(self, trial: Trial) -> None:
        self._write(trial)

    def artifact(self, name: str, path: Path) -> None:
        target = path_of(self.directory / "artifacts" / self._id(), name, "")
        with reported("journal", target), path.open("rb") as source:
            replace_file(target, source, temporary=self.directory / "tmp")

    def finish(self, error: BaseException | None = None) -> None:
        if self._study is not None:
            reason = {"error": f"{type(error).__name__}: {error}"} if error is not None else {}
            self._write(Event("study_finished", time.time(), reason))
            self._study = None

    def trials(self, study: str) -> Sequence[Trial]:
        """Return the trials of a study by id, as they were logged last; empty for an unknown study."""
        path = self._path(study)
        with reported("journal", path, "read"):
            records = [decode(line) for _, line in read_records(path)]
        latest = {record.id: record for record in records if isinstance(record, Trial)}
        return [latest[number] for number in sorted(latest)]

    def _write(self, record: Study | Trial | Event) -> None:
        path = self._path(self._id())
        with reported("journal", path):
            append_record(path, encode(record))

    def _path(self, study: str) -> Path:
        return path_of(self.directory / "studies", study, ".jsonl")

    def _id(self) -> str:
        if self._study is None:
            raise RuntimeError("tracker 'journal' was told of a trial or file before the start of its study")
        return self._study
