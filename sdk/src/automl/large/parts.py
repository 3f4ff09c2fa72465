"""Files of one table that is read in batches: one schema for all, whatever each lacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from automl.files import File, add_partitions, csv_options, list_here, list_in_cloud, suffixes, widen_type
from automl.places import storage_at
from automl_core import AutoMLError, DataError

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["Part", "find_files", "open_parts"]

FORMATS = frozenset({".parquet", ".pq", ".arrow", ".ipc", ".feather", ".csv", ".tsv"})
UNPACKED = 8  # bytes that a compressed byte becomes, about
AT_ONCE = 16  # files looked into at a time: in a cloud each is a round trip or two
BLOCK = 1 << 20  # bytes of text at a time


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A file, its size in bytes, and the columns that folders KEY=VALUE give it, as a table of one row."""

    file: File
    size: int
    folders: pa.Table

    @property
    def most(self) -> int:
        """Bytes that it may take in memory."""
        plain = not suffixes(self.file.name)[1]
        return self.size if plain and _reader(self.file.name) is _text_batches else self.size * UNPACKED


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A file, or some row groups of it.

    Attributes:
        schema: of all parts together; rows, nbytes: how many there are, and what they take in memory, at least. Of text and
            Arrow files both are guesses.
        groups: row groups of Parquet; None stands for the whole file.
        coded: columns of text that may come as dictionaries: a file that has them so is read faster.
    """

    found: Found
    schema: pa.Schema
    rows: int
    nbytes: int
    types: dict[str, pa.DataType]
    groups: tuple[int, ...] | None = None
    coded: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.found.file.name

    def tables(self, most: int) -> Iterator[pa.Table]:
        """Yield the rows in order, at most `most` at a time, in the columns of all parts.

        Raises:
            DataError: the file is damaged, or its values are not of the columns' types; names it.
        """
        reader = _reader(self.name)
        try:
            for batch in reader(self, most):
                for start in range(0, batch.num_rows, most):
                    yield _conform(batch.slice(start, most), self)
        except AutoMLError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damage(self.name, error) from error

    def with_coded(self, names: Iterable[str]) -> Part:
        """Return the part with those of these columns coded that it has as text."""
        text = {field.name for field in self.schema if pa.types.is_string(field.type)}
        return replace(self, coded=frozenset(text.intersection(names)))

    def cut(self, rows: int) -> Iterator[Part]:
        """Yield parts of about as many rows, as far as row groups can be told apart."""
        if _reader(self.name) is not _parquet_batches:
            yield self
            return
        about = _look(self.found, _metadata)
        counts = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
        first = held = 0
        for number, count in enumerate(counts):
            held += count
            if held >= rows or number + 1 == len(counts):
                share = held / max(1, self.rows)
                yield replace(self, rows=held, nbytes=int(self.nbytes * share), groups=tuple(range(first, number + 1)))
                first, held = number + 1, 0


def find_files(sources: Sequence[str], plugins: Plugins | None = None) -> list[Found]:
    """Return the files behind paths, globs, folders and URIs of clouds, in order; none if any is of a format that is not
    read in batches.

    Raises:
        DataError: there is no such file.
        ComponentUnavailable: a cloud does not answer, or refuses.
    """
    found: list[Found] = []
    for source in sources:
        storage = storage_at(source, plugins)
        if storage is None and "://" in source and not source.startswith("file://"):
            return []
        files = list_here(source) if storage is None else list_in_cloud(storage, source)
        if any(suffixes(file.name)[0] not in FORMATS for file in files):
            return []
        sizes = {} if storage is None else _sizes(storage, source)
        tables = add_partitions([pa.table({"": [0]}) for _ in files], files, source)
        for file, table in zip(files, tables, strict=True):
            size = Path(file.name).stat().st_size if storage is None else sizes.get(file.name, 0)
            found.append(Found(file, size, table.drop_columns([""])))
    return found


def _sizes(storage: Any, source: str) -> dict[str, int]:
    if hasattr(storage, "files"):
        return {storage.client.name(path): size for path, size in storage.files(source).items()}
    sizes = {}
    for uri in storage.locate(source):
        with storage.open_uri(uri) as file:
            sizes[uri] = file.seek(0, os.SEEK_END)
    return sizes


def open_parts(files: Sequence[Found], *, bad: list[str] | None = None) -> list[Part]:
    """Look into all files, and return them with the schema that holds the rows of each.

    A column that some files lack is missing there; one of several types takes the one that all fit in, text beside anything
    else becomes text.

    Args:
        bad: takes what is said of damaged files, which are left out then.

    Raises:
        DataError: a file is damaged, or all are.
        ComponentUnavailable: a cloud does not answer, or refuses.
    """
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="automl-parts") as pool:
        opened = list(pool.map(_try_open, files))
    errors = [item for item in opened if isinstance(item, DataError)]
    parts = [item for item in opened if isinstance(item, Part)]
    if errors and (bad is None or not parts):
        raise errors[0]
    if bad is not None:
        bad += map(str, errors)
    fields: dict[str, pa.DataType] = {}
    for part in parts:
        for field in [*part.schema, *part.found.folders.schema]:
            fields[field.name] = _both(fields.get(field.name, field.type), field.type)
    schema = pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in fields.items()])
    return [replace(part, schema=schema, types=_text_types(part, schema)) for part in parts]


def _try_open(found: Found) -> Part | DataError:
    try:
        return _open(found)
    except DataError as error:
        return error


def _open(found: Found) -> Part:
    if _reader(found.file.name) is _parquet_batches:
        about = _look(found, _metadata)
        stored = sum(about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        schema = about.schema.to_arrow_schema().remove_metadata()
        # Dictionaries make columns of few values small in the file alone.
        return Part(found, schema, about.num_rows, max(stored, 8 * about.num_rows * about.num_columns), {})
    packed = UNPACKED if suffixes(found.file.name)[1] else 1
    if _reader(found.file.name) is _text_batches:
        schema, line = _look(found, _text_schema)
        return Part(found, schema, max(1, found.size * packed // line), found.size * packed, {})
    schema = _look(found, _arrow_schema)
    rows = found.size * packed // (8 * max(1, len(schema)))
    return Part(found, schema, max(1, rows), found.size * packed, {})


def _look(found: Found, look: Callable[[File], Any]) -> Any:
    try:
        return look(found.file)
    except AutoMLError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damage(found.file.name, error) from error


def _damage(name: str, error: BaseException) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(f"{name!r} cannot be read as {suffixes(name)[0][1:]}: {reason}")


# ---- one schema


def _both(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    """Return a type that holds values of both."""
    if left.equals(right):
        return left
    left, right = _plain(left), _plain(right)
    try:
        pair = [pa.schema([("", left)]), pa.schema([("", right)])]
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _conform(batch: pa.RecordBatch, part: Part) -> pa.Table:
    columns, folders = [], part.found.folders
    for field in part.schema:
        if field.name in batch.schema.names:
            column = batch[field.name]
            kind = _plain(column.type) if field.name in part.coded else column.type
            columns.append(column if kind.equals(field.type) else _cast(column, field.type))
        elif field.name in folders.column_names:
            columns.append(pa.repeat(folders[field.name][0].cast(field.type), batch.num_rows))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.table(columns, names=part.schema.names)


def _cast(column: Any, kind: pa.DataType) -> Any:
    plain = column.cast(_plain(column.type)) if pa.types.is_dictionary(column.type) else column
    return plain.cast(kind, safe=False) if pa.types.is_floating(kind) else plain.cast(kind)


# ---- formats


def _reader(name: str) -> Callable[[Part, int], Iterator[pa.RecordBatch]]:
    suffix = suffixes(name)[0]
    if suffix in (".csv", ".tsv"):
        return _text_batches
    return _parquet_batches if suffix in (".parquet", ".pq") else _arrow_batches


def _metadata(file: File) -> Any:
    from pyarrow import parquet

    with _seekable(file) as source:
        return parquet.read_metadata(source)


def _seekable(file: File) -> Any:
    # Pages of a file that is mapped into memory would count as memory of this process.
    return pa.OSFile(file.name) if file.local and not suffixes(file.name)[1] else file.seekable()


def _parquet_batches(part: Part, most: int) -> Iterator[pa.RecordBatch]:
    from pyarrow import parquet

    with _seekable(part.found.file) as source:
        about = parquet.read_metadata(source)
        coded = sorted(part.coded.intersection(about.schema.column(i).path for i in range(about.num_columns)))
        with parquet.ParquetFile(source, metadata=about, pre_buffer=False, read_dictionary=coded) as opened:
            yield from opened.iter_batches(batch_size=most, row_groups=part.groups)


def _arrow_schema(file: File) -> pa.Schema:
    with _open_arrow(file) as opened:
        return opened.schema.remove_metadata()


def _open_arrow(file: File) -> Any:
    source = _seekable(file)
    magic = source.read(6)
    source.seek(0)
    return pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)


def _arrow_batches(part: Part, most: int) -> Iterator[pa.RecordBatch]:
    with _open_arrow(part.found.file) as opened:
        if hasattr(opened, "num_record_batches"):
            yield from (opened.get_batch(number) for number in range(opened.num_record_batches))
        else:
            yield from opened


def _text_schema(file: File) -> tuple[pa.Schema, int]:
    """Return the types that hold all of a file's values, and the bytes of a line, about; reads the file once.

    Types come from the first block; a later one may hold a number with decimals, or a word, and it is begun once more.
    """
    types: dict[str, pa.DataType] = {}
    while True:
        try:
            rows = size = 0
            with _open_text(file, types) as opened:
                for batch in opened:
                    rows, size = rows + batch.num_rows, size + batch.nbytes
            return _utf8(file, opened.schema), max(1, size // max(1, rows))
        except pa.ArrowInvalid as error:
            read, parse, _ = csv_options(file, {})
            name, wider = widen_type(str(error), file, read, parse)
            if name is None or types.get(name) == wider:
                raise
            types[name] = wider


def _utf8(file: File, schema: pa.Schema) -> pa.Schema:
    # Arrow makes a column binary, without a word, when it holds bytes that are not UTF-8.
    odd = [field.name for field in schema if pa.types.is_binary(field.type)]
    if odd:
        raise DataError(f"{file.name!r} is not UTF-8 in column {odd[0]!r}: save it as UTF-8.")
    return schema


def _text_types(part: Part, schema: pa.Schema) -> dict[str, pa.DataType]:
    if _reader(part.name) is not _text_batches:
        return {}
    return {name: schema.field(name).type for name in part.schema.names}


def _open_text(file: File, types: dict[str, pa.DataType]) -> Any:
    from pyarrow import csv

    read, parse, convert = csv_options(file, types)
    read.use_threads = False
    return csv.open_csv(file.stream(), read_options=read, parse_options=parse, convert_options=convert)


def _text_batches(part: Part, most: int) -> Iterator[pa.RecordBatch]:
    with _open_text(part.found.file, part.types) as opened:
        yield from opened
