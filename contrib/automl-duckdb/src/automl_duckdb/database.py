"""The database of this process behind a file."""

from __future__ import annotations

from pathlib import Path
from threading import RLock

import duckdb

from automl_core import ComponentUnavailable

__all__ = ["Database"]

TABLES = """
create table if not exists logs (name varchar not null, number bigint not null, record blob not null);
create table if not exists blobs (key varchar not null, data blob not null);
"""
_OPEN: dict[Path, Database] = {}
_TURN = RLock()


class Database:
    """One open file, shared by all storages of this process that name it.

    DuckDB lets a single process open a file for writing, and locks others out, readers too.

    Attributes:
        lock: whoever writes holds it: the numbers of a log then need no retries.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.lock, self._users = path, RLock(), 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = duckdb.connect(path)
            self._connection.execute(TABLES)
        except (duckdb.Error, OSError) as error:
            raise ComponentUnavailable(_explain(path, error)) from error

    @classmethod
    def take(cls, path: Path) -> Database:
        """Open a file, or share it where this process has opened it; to be given back with `release`.

        Raises:
            ComponentUnavailable: another process has it, it cannot be written, or is no database.
        """
        with _TURN:
            if path not in _OPEN:
                _OPEN[path] = cls(path)
            _OPEN[path]._users += 1
            return _OPEN[path]

    def release(self) -> None:
        with _TURN:
            self._users -= 1
            if not self._users:
                del _OPEN[self.path]
                self._connection.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection for one thread; reads see what was committed before, and wait for nobody."""
        with self.lock:
            return self._connection.cursor()


def _explain(path: Path, error: Exception) -> str:
    said = str(error).splitlines()[0]
    if "lock" in said.lower():
        return (
            f"the DuckDB file {path} is open in another process, and DuckDB lets one process use a file: {said}. "
            f"End that one, name another file in plugins.duckdb.path, or share a folder with storage = 'file'."
        )
    return f"the DuckDB file {path} cannot be opened: {said}."
