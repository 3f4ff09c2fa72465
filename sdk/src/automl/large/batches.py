"""Tables in batches: files of this machine or of a cloud, and data frames of Dask."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from automl.large.memory import memory_limit
from automl.table import open_table
from automl_core import AutoMLError, ComponentUnavailable, DataError

if TYPE_CHECKING:
    from automl.large.parts import Part
    from automl_core import Plugins

__all__ = ["EXPANSION", "Batches", "Piece", "batch_rows", "open_batches"]

EXPANSION = 6  # bytes that a study needs for each of the table's: the table, the encoded one, and what fits make of it
BATCH_SHARE = 32  # of the limit, that one batch may take
LOST = frozenset(
    {"FutureCancelledError", "CancelledError", "KilledWorker", "TimeoutError"}
)  # Dask is not imported here
FEWEST, MOST = 1 << 10, 1 << 18  # rows of a batch


@runtime_checkable
class Batches(Protocol):
    """A table that can be read from the beginning again and again, in batches of the same order each time.

    Attributes:
        limit: bytes that work on it may take.
    """

    limit: int

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables as `open_table` returns them; none is empty."""
        ...

    def pieces(self, rows: int) -> list[tuple[Piece, int]]:
        """Return pieces of about as many rows, as far as it can be cut, and the number of each one's first row.

        To be called after a whole iteration, which counts rows.
        """
        ...

    def coded(self, names: Sequence[str]) -> Batches:
        """Return the same table, whose columns of text of these names may come as dictionaries."""
        ...


@runtime_checkable
class Piece(Protocol):
    """Some of the rows, that another process can read: picklable."""

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield tables as `open_table` returns them; none is empty."""
        ...


def open_batches(
    data: Any, *, limit: int | None = None, always: bool = False, plugins: Plugins | None = None
) -> Batches | None:
    """Return data in batches if it is a table too large for memory, else None.

    Args:
        data: a path, glob, folder or URI of a cloud of Parquet, Arrow or CSV files, or a list of them; a data frame of Dask,
            which always counts as large; anything else never does.
        limit: bytes that work on the table may take; None takes what `memory_limit` says.
        always: whether files count as large whatever their size.
        plugins: whose settings reach the clouds; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: a file is missing or damaged, or files do not fit together.
        ComponentUnavailable: a cloud does not answer, or refuses.
    """
    if isinstance(data, _FileBatches | _DaskBatches):
        return data
    if type(data).__module__.partition(".")[0] == "dask" and hasattr(data, "npartitions"):
        return _DaskBatches(data, limit or memory_limit())
    paths = [data] if isinstance(data, str | os.PathLike) else data
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(p, str | os.PathLike) for p in paths):
        return None
    from automl.large.parts import find_files, open_parts

    files = find_files([os.fspath(path) for path in paths], plugins)
    limit = limit or memory_limit()
    if not files or (not always and sum(file.most for file in files) * EXPANSION <= limit):
        return None
    parts = open_parts(files)
    return _FileBatches(parts, limit) if always or sum(p.nbytes for p in parts) * EXPANSION > limit else None


def batch_rows(parts: Sequence[Part], limit: int) -> int:
    """Return how many rows of these parts one batch may have."""
    rows, size = sum(part.rows for part in parts), sum(part.nbytes for part in parts)
    return min(max(limit // BATCH_SHARE // max(1, size // max(1, rows)), FEWEST), MOST)


class _FileBatches:
    def __init__(self, parts: list[Part], limit: int) -> None:
        self.parts, self.limit = parts, limit
        self._counts = [0] * len(parts)

    def __iter__(self) -> Iterator[pa.Table]:
        return _ahead(self._tables(batch_rows(self.parts, self.limit)))

    def _tables(self, most: int) -> Iterator[pa.Table]:
        for number, part in enumerate(self.parts):
            count = 0
            for table in part.tables(most):
                count += table.num_rows
                yield table
            self._counts[number] = count

    def pieces(self, rows: int) -> list[tuple[Piece, int]]:
        most, start = batch_rows(self.parts, self.limit), 0
        found: list[tuple[Piece, int]] = []
        for part, count in zip(self.parts, self._counts, strict=True):
            inside = 0
            for piece in part.cut(rows):
                found.append((_FilePiece(piece, most), start + inside))
                inside += piece.rows  # of what is not cut a guess, but then nothing comes after it
            start += count
        return found

    def coded(self, names: Sequence[str]) -> Batches:
        said = _FileBatches([part.with_coded(names) for part in self.parts], self.limit)
        said._counts = self._counts
        return said


@dataclass(frozen=True, slots=True)
class _FilePiece:
    part: Part
    most: int

    def __iter__(self) -> Iterator[pa.Table]:
        return _ahead(self.part.tables(self.most))


class _DaskBatches:
    def __init__(self, frame: Any, limit: int) -> None:
        self._frame, self.limit = frame, limit
        self._counts = [0] * frame.npartitions

    def __iter__(self) -> Iterator[pa.Table]:
        return _ahead(self._compute(number) for number in range(self._frame.npartitions))

    def pieces(self, rows: int) -> list[tuple[Piece, int]]:
        starts = list(accumulate(self._counts, initial=0))
        return [(_DaskPiece(self._frame.partitions[i]), starts[i]) for i, count in enumerate(self._counts) if count]

    def coded(self, names: Sequence[str]) -> Batches:
        return self  # Dask decides what its columns are

    def _compute(self, number: int) -> Any:
        try:
            table = self._frame.partitions[number].compute()
            self._counts[number] = len(table)
            return table
        except AutoMLError:
            raise
        except Exception as error:
            why = (
                f"partition {number} of the data frame of Dask could not be computed ({type(error).__name__}: {error})"
            )
            if isinstance(error, OSError) or type(error).__name__ in LOST:
                raise ComponentUnavailable(f"{why}: is its cluster still there?") from error
            raise DataError(f"{why}.") from error


@dataclass(frozen=True, slots=True)
class _DaskPiece:
    frame: Any

    def __iter__(self) -> Iterator[pa.Table]:
        yield open_table(self.frame.compute(scheduler="synchronous"))


def _ahead(tables: Iterator[Any]) -> Iterator[pa.Table]:
    """Yield tidy tables, each read while the one before is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="automl-batches") as pool:
        waiting = pool.submit(next, tables, None)
        while (table := waiting.result()) is not None:
            waiting = pool.submit(next, tables, None)
            if len(table):
                yield open_table(table)
