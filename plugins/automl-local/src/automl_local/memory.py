"""Journals and blobs for as long as the process lives."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from threading import Lock
from typing import BinaryIO

from automl_core import Storage
from automl_local.names import check_name

__all__ = ["MemoryStorage"]


class MemoryStorage(Storage):
    """Forgets everything when it is closed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._logs: dict[str, list[bytes]] = {}
        self._blobs: dict[str, bytes] = {}

    def append(self, log: str, record: bytes) -> int:
        check_name(log)
        with self._lock:
            records = self._logs.setdefault(log, [])
            records.append(bytes(record))
            return len(records)

    def read(self, log: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        check_name(log)
        with self._lock:
            records = self._logs.get(log, [])[max(after, 0) :]
        return enumerate(records, max(after, 0) + 1)

    def put(self, key: str, data: bytes) -> None:
        check_name(key)
        with self._lock:
            self._blobs[key] = bytes(data)

    def open(self, key: str) -> BinaryIO:
        check_name(key)
        with self._lock:
            return BytesIO(self._blobs[key])

    def delete(self, key: str) -> None:
        check_name(key)
        with self._lock:
            self._blobs.pop(key, None)
            self._logs.pop(key, None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with self._lock:
            return iter(sorted(key for key in self._blobs if key.startswith(prefix)))

    def close(self) -> None:
        with self._lock:
            self._logs.clear()
            self._blobs.clear()
