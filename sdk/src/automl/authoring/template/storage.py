"""A storage in one file of SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from automl_core import Storage

__all__ = ["SqliteStorage"]

TABLES = """
CREATE TABLE IF NOT EXISTS logs (name TEXT, number INTEGER, record BLOB, PRIMARY KEY (name, number));
CREATE TABLE IF NOT EXISTS blobs (key TEXT PRIMARY KEY, data BLOB);
"""
# One statement is one transaction, so that two writers never take the same number.
APPEND = """
INSERT INTO logs SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM logs WHERE name = ?1 RETURNING number
"""


class SqliteStorage(Storage):
    """Any number of threads and processes of one machine may share the file. Picklable."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = str(path.absolute())
        with closing(sqlite3.connect(self.path, timeout=60)) as connection:
            connection.executescript(TABLES)

    def append(self, log: str, record: bytes) -> int:
        return int(self._run(APPEND, _checked(log), record)[0][0])

    def read(self, log: str, after: int = 0) -> Iterable[tuple[int, bytes]]:
        query = "SELECT number, record FROM logs WHERE name = ? AND number > ? ORDER BY number"
        return self._run(query, _checked(log), after)

    def put(self, key: str, data: bytes) -> None:
        self._run("INSERT OR REPLACE INTO blobs VALUES (?, ?)", _checked(key), data)

    def open(self, key: str) -> BinaryIO:
        found = self._run("SELECT data FROM blobs WHERE key = ?", _checked(key))
        if not found:
            raise KeyError(key)
        return BytesIO(found[0][0])

    def delete(self, key: str) -> None:
        self._run("DELETE FROM blobs WHERE key = ?", _checked(key))
        self._run("DELETE FROM logs WHERE name = ?", key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        query = "SELECT key FROM blobs WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key"
        return (key for (key,) in self._run(query, prefix))

    def _run(self, statement: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()


def _checked(name: str) -> str:
    if any(part in ("", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is no relative path: its parts may be neither empty nor '..'")
    return name
