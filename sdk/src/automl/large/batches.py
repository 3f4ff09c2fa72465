"""Tables in batches: Parquet files, and data frames of Dask."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa

from automl.large.memory import memory_limit
from automl_core import DataError

__all__ = ["EXPANSION", "Batches", "open_batches"]

EXPANSION = 6  # bytes that a study needs for each of the table's: the table, the encoded one, and what fits make of it
PARQUET = (".parquet", ".pq")
BATCH_SHARE = 32  # of the limit, that one batch may take
FEWEST, MOST = 1 << 10, 1 << 18  # rows of a batch


class Batches(Protocol):
    """A table that can be read from the beginning again and again, in batches of the same order each time.

    Attributes:
        limit: bytes that work on it may take.
    """

    limit: int

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables as `open_table` returns them; none is empty."""
        ...


def open_batches(data: Any, *, limit: int | None = None, always: bool = False) -> Batches | None:
    """Return data in batches if it is a table too large for memory, else None.

    Args:
        data: a path, glob or folder of Parquet files, or a list of them; a data frame of Dask, which always counts as
            large; anything else never does.
        limit: bytes that work on the table may take; None takes what `memory_limit` says.
        always: whether Parquet files count as large whatever their size.
    """
    if type(data).__module__.partition(".")[0] == "dask" and hasattr(data, "npartitions"):
        return _DaskBatches(data, limit or memory_limit())
    paths = [data] if isinstance(data, str | os.PathLike) else data
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(p, str | os.PathLike) for p in paths):
        return None
    files = _parquet_files([os.fspath(path) for path in paths])
    if files is None:
        return None
    found = _ParquetBatches(files, limit or memory_limit())
    return found if always or found.nbytes * EXPANSION > found.limit else None


def _parquet_files(paths: Sequence[str]) -> list[Any] | None:
    """Return the files behind paths if all are plain Parquet files of this machine."""
    from automl.files import _expand

    if any("://" in path for path in paths):
        return None
    files = [file for path in paths for file in _expand(path)]
    plain = all(file.local and file.name.lower().endswith(PARQUET) and "=" not in file.name for file in files)
    return files if plain else None


class _ParquetBatches:
    def __init__(self, files: Sequence[Any], limit: int) -> None:
        self._files, self.limit = files, limit
        self.rows, self.nbytes = 0, 0
        for file in files:
            rows, size = _measure(file.name)
            self.rows += rows
            self.nbytes += size

    def __iter__(self) -> Iterator[pa.Table]:
        from pyarrow import parquet

        each = max(1, self.nbytes // max(1, self.rows))
        size = min(max(self.limit // BATCH_SHARE // each, FEWEST), MOST)
        for file in self._files:
            try:
                with parquet.ParquetFile(file.name, pre_buffer=False) as opened:
                    for batch in opened.iter_batches(batch_size=size, use_threads=False):
                        yield from _tidy(batch)
            except (pa.ArrowException, OSError) as error:
                raise DataError(f"{file.name!r} cannot be read as parquet: {str(error).splitlines()[0]}") from error


def _measure(name: str) -> tuple[int, int]:
    """Return a file's rows, and the bytes that they take in memory, at least."""
    from pyarrow import parquet

    try:
        about = parquet.read_metadata(name)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{name!r} cannot be read as parquet: {str(error).splitlines()[0]}") from error
    stored = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    # Dictionaries make columns of few values small in the file alone.
    return about.num_rows, max(stored, 8 * about.num_rows * about.num_columns)


class _DaskBatches:
    def __init__(self, frame: Any, limit: int) -> None:
        self._frame, self.limit = frame, limit

    def __iter__(self) -> Iterator[pa.Table]:
        for number in range(self._frame.npartitions):
            yield from _tidy(self._frame.partitions[number].compute())


def _tidy(part: Any) -> Iterator[pa.Table]:
    from automl.table import open_table

    if len(part):
        yield open_table(part)
