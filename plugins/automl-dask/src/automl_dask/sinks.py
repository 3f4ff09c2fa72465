"""Where chunks go: into a hidden folder beside the output, which appears under its name when it is whole."""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import csv, parquet

from automl_core import DataError
from automl_dask.parquet_source import conform
from automl_dask.places import atomic, is_local, open_place, put
from automl_dask.progress import State

__all__ = ["Sink", "open_sink"]

COPY = 1 << 22


class Sink(Protocol):
    """Takes encoded chunks in order.

    Attributes:
        folder: of all that is unfinished.
    """

    system: Any
    folder: str

    def encode(self, table: pa.Table, number: int) -> Any:
        """Return a chunk as bytes; called from several threads at once."""
        ...

    def begin(self, state: State | None) -> None:
        """Go on after a state, or start over."""
        ...

    def add(self, number: int, data: Any) -> int:
        """Keep a chunk, safe from now on; return how long the output is where it is one file."""
        ...

    def finish(self) -> None:
        """Let the output appear under its name, and remove what was unfinished."""
        ...

    def close(self) -> None:
        """Let go of what is open; what is unfinished stays."""
        ...


def open_sink(uri: str | os.PathLike[str], options: Any = None) -> Sink:
    """Return the sink for a path or URI, by its ending: .csv, .tsv or either with .gz; .parquet or .pq for one file; none for
    a folder of Parquet files.

    Raises:
        DataError: the ending is another one, or the folder does not exist.
    """
    system, path = open_place(uri, options)
    parent, _, name = path.rpartition("/")
    if is_local(system) and not Path(parent or "/").is_dir():
        raise DataError(f"the folder {parent!r} of {os.fspath(uri)!r} does not exist: create it first.")
    if name.endswith((".csv", ".tsv", ".csv.gz", ".tsv.gz")):
        return AppendedCsv(system, path) if is_local(system) else CsvParts(system, path)
    if name.endswith((".parquet", ".pq")):
        return ParquetParts(system, path, folder=False)
    if "." in name.lstrip("."):
        raise DataError(
            f"{os.fspath(uri)!r} must end in .csv, .tsv, .csv.gz or .parquet, or be a folder for Parquet files."
        )
    return ParquetParts(system, path, folder=True)


class _Unfinished:
    """The hidden folder of an output; locked where that is possible."""

    def __init__(self, system: Any, path: str) -> None:
        self.system, self.path = system, path
        parent, _, name = path.rpartition("/")
        self.folder = f"{parent}/.{name}.unfinished" if parent else f".{name}.unfinished"
        self._lock: int | None = None

    def begin(self, state: State | None) -> None:
        if is_local(self.system):
            Path(self.folder).mkdir(exist_ok=True)
            self._take_lock()
        if state is None:
            self._clear()

    def _take_lock(self) -> None:
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise DataError(
                f"another process is writing {self.path!r}: wait for it, or name another output."
            ) from error

    def _clear(self) -> None:
        if self.system.exists(self.folder):
            for path in self.system.find(self.folder):
                self.system.rm_file(path)

    def _remove(self) -> None:
        with suppress(FileNotFoundError):  # an object store has no folders
            self.system.rm(self.folder, recursive=True)
        self.close()

    def close(self) -> None:
        """Let go of the lock; what is unfinished stays."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Csv(_Unfinished):
    def encode(self, table: pa.Table, number: int) -> Any:
        sink = pa.BufferOutputStream()
        delimiter = "\t" if ".tsv" in self.path.rpartition("/")[2] else ","
        options = csv.WriteOptions(include_header=number == 0, delimiter=delimiter, batch_size=8192)
        csv.write_csv(table, sink, options)
        data = sink.getvalue()
        # Members of gzip may follow one another.
        return gzip.compress(data, compresslevel=1) if self.path.endswith(".gz") else data


class AppendedCsv(_Csv):
    """One local file that grows."""

    def begin(self, state: State | None) -> None:
        super().begin(state)
        self._file = Path(self.folder, "data").open("r+b" if state else "wb")  # noqa: SIM115 - open until `close`
        size = state.size if state else 0
        if self._file.seek(0, os.SEEK_END) < size:
            raise DataError(f"{self.folder!r} has lost data that was written to it: delete it to start over.")
        self._file.truncate(size)
        self._file.seek(size)

    def add(self, number: int, data: Any) -> int:
        self._file.write(data)
        self._file.flush()
        os.fdatasync(self._file.fileno())
        return self._file.tell()

    def finish(self) -> None:
        self._file.close()
        Path(self.folder, "data").replace(self.path)
        self._remove()

    def close(self) -> None:
        if hasattr(self, "_file"):
            with suppress(OSError):  # of a full disk, told already
                self._file.close()
        super().close()


class _Parts(_Unfinished):
    """A file for each chunk, put together at the end."""

    def add(self, number: int, data: Any) -> int:
        put(self.system, f"{self.folder}/part-{number:08d}", memoryview(data))
        return 0

    def _parts(self) -> Iterator[str]:
        return (path for path in sorted(self.system.find(self.folder)) if "/part-" in path)


class CsvParts(_Parts, _Csv):
    """Text on an object store, where nothing can be appended to."""

    def finish(self) -> None:
        with atomic(self.system, self.path) as out:
            for part in self._parts():
                with self.system.open(part, "rb") as piece:
                    shutil.copyfileobj(piece, out, COPY)
        self._remove()


class ParquetParts(_Parts):
    """A Parquet file, or a folder of them.

    Args:
        folder: whether the output is a folder of the parts; else these are Arrow files, each a row group of one file at the
            end, so that rows are encoded once.
    """

    def __init__(self, system: Any, path: str, *, folder: bool) -> None:
        super().__init__(system, path.rstrip("/"))
        self._is_folder = folder
        self._schema: pa.Schema | None = None

    def begin(self, state: State | None) -> None:
        super().begin(state)
        first = next(self._parts(), None)
        if first is not None:
            with self.system.open(first, "rb") as raw:
                self._schema = parquet.read_schema(raw) if self._is_folder else pa.ipc.open_file(raw).schema

    def encode(self, table: pa.Table, number: int) -> Any:
        self._schema = self._schema or table.schema
        try:
            table = conform(table, self._schema)
        except pa.ArrowException as error:
            raise DataError(
                f"chunk {number} does not fit the first one: {str(error).splitlines()[0]}. Return columns of the same types "
                "from every chunk, or name their types in `dtypes`."
            ) from error
        sink = pa.BufferOutputStream()
        if self._is_folder:
            parquet.write_table(table, sink)
        else:
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
        return sink.getvalue()

    def finish(self) -> None:
        if self._is_folder:
            self._move()
        else:
            with atomic(self.system, self.path) as out, parquet.ParquetWriter(out, self._schema) as writer:
                for part in self._parts():
                    with self.system.open(part, "rb") as raw:
                        writer.write_table(pa.ipc.open_file(raw).read_all())
        self._remove()

    def _move(self) -> None:
        parts = list(self._parts())
        if not is_local(self.system):
            for part in parts:
                self.system.mv(part, f"{self.path}/{part.rpartition('/')[2]}.parquet")
            return
        for part in parts:
            Path(part).rename(f"{part}.parquet")
        for other in Path(self.folder).iterdir():
            if not other.name.startswith("part-"):
                other.unlink()
        if Path(self.path).exists():
            raise DataError(f"{self.path!r} exists: remove it, and run again to let what is done take its place.")
        Path(self.folder).rename(self.path)
