"""Journals and blobs in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from automl_core import Storage
from automl_local.disk import prune, replace_file, reported
from automl_local.logfile import append_record, delete_log, read_records
from automl_local.names import name_of, path_of

__all__ = ["FileStorage"]

LOG, BLOB = ".jsonl", ".blob"


class FileStorage(Storage):
    """Journals in `logs`, blobs in `blobs`; any number of processes may share the folder. Picklable.

    Nothing is created before the first write. What `append` or `put` returned from survives the death of the process;
    blobs survive a power cut too, and so do appends with `fsync`.

    Raises:
        ComponentUnavailable: the folder cannot be written or read; nothing is left half written.
        DataError: a log was damaged from outside.
    """

    def __init__(self, directory: str | Path, *, fsync: bool = False) -> None:
        self.directory = Path(directory).absolute()
        self.fsync = fsync

    def append(self, log: str, record: bytes) -> int:
        path = self._log(log)
        with reported("file", path):
            return append_record(path, record, fsync=self.fsync)

    def read(self, log: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        return self._read(self._log(log), after)

    def _read(self, path: Path, after: int) -> Iterator[tuple[int, bytes]]:
        with reported("file", path, "read"):
            yield from read_records(path, after)

    def put(self, key: str, data: bytes) -> None:
        path = self._blob(key)
        with reported("file", path):
            replace_file(path, BytesIO(data), temporary=self.directory / "tmp")

    def open(self, key: str) -> BinaryIO:
        path = self._blob(key)
        with reported("file", path, "read"):
            try:
                return path.open("rb")
            except FileNotFoundError:
                raise KeyError(key) from None

    def delete(self, key: str) -> None:
        log, blob = self._log(key), self._blob(key)
        with reported("file", blob, "delete"):
            blob.unlink(missing_ok=True)
            delete_log(log)
        prune(blob.parent, self.directory)
        prune(log.parent, self.directory)

    def keys(self, prefix: str = "") -> Iterator[str]:
        root = self.directory / "blobs"
        paths = (Path(folder, name) for folder, _, names in os.walk(root) for name in names if name.endswith(BLOB))
        keys = (name_of(root, path, BLOB) for path in paths)
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def _log(self, name: str) -> Path:
        return path_of(self.directory / "logs", name, LOG)

    def _blob(self, key: str) -> Path:
        return path_of(self.directory / "blobs", key, BLOB)
