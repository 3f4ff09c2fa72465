"""The storage `duckdb`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import Any, BinaryIO

from automl_core import Storage
from automl_duckdb.database import Database

__all__ = ["DuckDBStorage"]


class DuckDBStorage(Storage):
    """Journals and blobs in one DuckDB file, of one process at a time; with the power `Tabular`. Not picklable.

    The file is opened, and where there is none made, when it is first used, and let go by `close`; what comes after
    that opens it again. Each append and put is a transaction, written before it returns. Any number of threads and
    storages of this process may share a file. Reading data sets leaves the file alone.

    Raises:
        ComponentUnavailable: another process has opened the file, it cannot be written, or is no database.
    """

    def __init__(self, path: str | Path, *, threads: int = 1, memory: str = "") -> None:
        self.path, self._threads, self._memory = Path(path).absolute(), threads, memory
        self._taken: Database | None = None
        self._turn = RLock()

    @property
    def _database(self) -> Database:
        with self._turn:
            if self._taken is None:
                self._taken = Database.take(self.path.resolve())  # one lock, whatever links lead there
            return self._taken

    def close(self) -> None:
        with self._turn:
            if self._taken is not None:
                self._taken.release()
                self._taken = None

    # ---- logs

    def append(self, log: str, record: bytes) -> int:
        _check(log)
        database = self._database
        with database.lock, database.cursor() as cursor:
            (found,) = cursor.execute(
                "insert into logs select $log, coalesce(max(number), 0) + 1, $record from logs where name = $log "
                "returning number",
                {"log": log, "record": bytes(record)},
            ).fetchall()
        return int(found[0])

    def read(self, log: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        _check(log)
        with self._database.cursor() as cursor:
            rows = cursor.execute(
                "select number, record from logs where name = ? and number > ? order by number", [log, after]
            ).fetchall()
        return iter(rows)

    # ---- blobs

    def put(self, key: str, data: bytes) -> None:
        _check(key)
        database = self._database
        with database.lock, database.cursor() as cursor:
            cursor.begin()
            cursor.execute("delete from blobs where key = ?", [key])
            cursor.execute("insert into blobs values (?, ?)", [key, bytes(data)])
            cursor.commit()

    def open(self, key: str) -> BinaryIO:
        """Open a blob, which is read as a whole."""
        _check(key)
        with self._database.cursor() as cursor:
            found = cursor.execute("select data from blobs where key = ?", [key]).fetchone()
        if found is None:
            raise KeyError(key)
        return BytesIO(found[0])

    def delete(self, key: str) -> None:
        _check(key)
        database = self._database
        with database.lock, database.cursor() as cursor:
            cursor.begin()
            cursor.execute("delete from blobs where key = ?", [key])
            cursor.execute("delete from logs where name = ?", [key])
            cursor.commit()

    def keys(self, prefix: str = "") -> Iterator[str]:
        with self._database.cursor() as cursor:
            rows = cursor.execute("select key from blobs where starts_with(key, ?)", [prefix]).fetchall()
        return iter(sorted(key for (key,) in rows))

    # ---- Tabular

    def table(self, uri: str, *, columns: Sequence[str] | None = None, where: str = "") -> Any:
        """Return the Parquet, CSV or JSON lines of a file, folder or glob of this machine as a `pyarrow.dataset.Dataset`.

        DuckDB reads the named columns only, and of Parquet only the row groups that `where` may hold for; folders named
        KEY=VALUE are columns, and skipped likewise. What is left is held in memory.

        Args:
            where: a condition in DuckDB's SQL, which may name any column: "year = 2025 and price > 10".

        Raises:
            DataError: the data is missing, unreadable, of an unknown format or of several, or lacks a column.
        """
        from automl_duckdb.tables import open_dataset

        return open_dataset(uri, columns, where, threads=self._threads, memory=self._memory)


def _check(name: str) -> None:
    parts = name.split("/")
    if "" in parts or ".." in parts or not name.isprintable():
        raise ValueError(f"{name!r} is no valid name: it must be a relative path of printable characters without '..'")
