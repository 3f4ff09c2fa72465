"""Parquet files of one data set: their footers, one schema for all, and their rows in pieces."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from automl_core import DataError
from automl_dask.pieces import BadRow, Piece, Place
from automl_dask.places import expand

__all__ = ["Footer", "ParquetSource", "conform", "read_footers", "unify"]

SUFFIXES = (".parquet", ".pq")
AT_ONCE = 16  # footers read at a time: on an object store each is a round trip or two
log = logging.getLogger("automl.dask")


@dataclass(frozen=True, slots=True)
class Footer:
    """What a Parquet file says of itself."""

    path: str
    rows: int
    groups: tuple[int, ...]
    schema: pa.Schema


def read_footers(system: Any, paths: Sequence[str], *, bad_files: str = "error") -> tuple[list[Footer], list[BadRow]]:
    """Read all footers.

    Args:
        bad_files: "error", or "skip" to leave out files that are no Parquet files, as a truncated one.

    Raises:
        DataError: a file is bad and `bad_files` is "error", or no file is good.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda path: _read_footer(system, path), paths))
    bad = [item for item in found if isinstance(item, BadRow)]
    good = [item for item in found if isinstance(item, Footer)]
    if bad and (bad_files == "error" or not good):
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise DataError(
            f"{bad[0].file!r} cannot be read as Parquet{more}: {bad[0].why}. bad_files='skip' leaves it out."
        )
    for item in bad:
        log.warning("%s is left out: %s", item.file, item.why)
    return good, bad


def _read_footer(system: Any, path: str) -> Footer | BadRow:
    try:
        with system.open(path, "rb") as raw, parquet.ParquetFile(raw) as file:
            about = file.metadata
            groups = tuple(about.row_group(i).num_rows for i in range(about.num_row_groups))
            return Footer(path, about.num_rows, groups, file.schema_arrow.remove_metadata())
    except (pa.ArrowException, OSError, ValueError) as error:
        return BadRow(path, _first_line(error))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def unify(footers: Sequence[Footer], columns: Sequence[str] | None = None) -> pa.Schema:
    """Return a schema that holds every file's rows: all columns, each of a type that all its types fit in.

    Raises:
        DataError: a column's types do not fit together, or a wanted column is in no file.
    """
    schema = footers[0].schema
    for footer in footers[1:]:
        if footer.schema.equals(schema):
            continue
        try:
            schema = pa.unify_schemas([schema, footer.schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(f"{footer.path!r} does not fit the files before it: {_first_line(error)}") from error
    if columns is None:
        return schema
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise DataError(f"no file has the column {missing[0]!r}; there are {', '.join(map(repr, schema.names[:10]))}.")
    return pa.schema([schema.field(name) for name in columns])


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table's columns as a schema has them; those it lacks are missing values."""
    if table.schema.equals(schema):
        return table
    columns = [
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


class ParquetSource:
    """See `ChunkedDataProcessor.process_parquet_in_chunks` for the arguments."""

    def __init__(
        self,
        paths: Any,
        *,
        chunk_size: int,
        columns: Sequence[str] | None = None,
        bad_files: str = "error",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.system, found = expand(paths, SUFFIXES, options)
        self.footers, bad = read_footers(self.system, found, bad_files=bad_files)
        self.left_out = len(bad)
        self.files = [footer.path for footer in self.footers]
        self.schema = unify(self.footers, columns)
        self._rows, self._bad_files = chunk_size, bad_files
        self.identity = [list(columns) if columns is not None else None, bad_files]

    def pieces(self, start: Place) -> Iterator[Piece]:
        """Yield what comes after a place, in order; each piece ends with its file at the latest."""
        for number in range(start.file, len(self.files)):
            yield from self._pieces_of(number, start.offset if number == start.file else 0)

    def parse(self, piece: Piece) -> tuple[pa.Table, list[BadRow]]:
        """Return a piece's table; of one that could not be read none of its rows."""
        if isinstance(piece.data, BadRow):
            return self.schema.empty_table(), [piece.data]
        try:
            return conform(piece.data, self.schema), []
        except pa.ArrowException as error:
            raise DataError(f"{self.files[piece.start.file]!r}: {_first_line(error)}") from error

    def _pieces_of(self, number: int, done: int) -> Iterator[Piece]:
        footer = self.footers[number]
        try:
            for table in self._tables(footer, done):
                yield Piece(Place(number, done), Place(number, done := done + table.num_rows), table)
        except (pa.ArrowException, OSError) as error:
            why = f"rows from {done} on cannot be read: {_first_line(error)}"
            if self._bad_files == "error":
                raise DataError(f"{footer.path!r}: {why}. bad_files='skip' leaves them out.") from error
            log.warning("%s: %s", footer.path, why)
            yield Piece(Place(number, done), Place(number + 1), BadRow(footer.path, why))

    def _tables(self, footer: Footer, done: int) -> Iterator[pa.Table]:
        """Yield tables of at most `chunk_size` rows from row `done` on."""
        first, before = 0, 0
        while first < len(footer.groups) and before + footer.groups[first] <= done:
            before += footer.groups[first]
            first += 1
        if first == len(footer.groups):
            return
        columns = [name for name in self.schema.names if name in footer.schema.names]
        held: list[pa.RecordBatch] = []
        missing, skip = self._rows, done - before
        with self.system.open(footer.path, "rb") as raw, parquet.ParquetFile(raw, pre_buffer=False) as file:
            size = min(self._rows, 1 << 17)  # one batch may not reach beyond what one piece holds by much
            groups = range(first, len(footer.groups))
            for whole in file.iter_batches(batch_size=size, row_groups=groups, columns=columns):
                batch = whole.slice(skip)
                skip = max(0, skip - whole.num_rows)
                while batch.num_rows:
                    held.append(batch.slice(0, missing))
                    batch = batch.slice(missing)
                    missing -= held[-1].num_rows
                    if not missing:
                        yield pa.Table.from_batches(held)
                        held, missing = [], self._rows
        if held:
            yield pa.Table.from_batches(held)
