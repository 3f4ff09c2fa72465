"""Files and URIs as Arrow tables: CSV, Parquet, Arrow IPC and JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from automl.places import storage_at
from automl_core import AutoMLError, DataError, did_you_mean

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = [
    "File",
    "add_partitions",
    "csv_options",
    "list_here",
    "list_in_cloud",
    "read_files",
    "suffixes",
    "widen_type",
]

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
PACKAGES = {"http": "aiohttp", "https": "aiohttp"}
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
WORDS_FOR_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "?"]
BLOCK = 1 << 20
COLUMNAR = frozenset({".parquet", ".pq", ".arrow", ".ipc", ".feather"})
PARTITION = re.compile(r"([^=]+)=(.*)")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
FAILED_COLUMN = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\w+)")


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name, and how to open it; `local` is whether the name is its path. Picklable."""

    name: str
    open: Callable[[], Any]
    local: bool = True

    def stream(self) -> Any:
        """Return an Arrow input stream, decompressed."""
        packed = suffixes(self.name)[1]
        raw = pa.OSFile(self.name) if self.local else pa.PythonFile(self.open(), mode="r")
        return pa.CompressedInputStream(raw, COMPRESSIONS[packed]) if packed else raw

    def seekable(self) -> Any:
        """Return an Arrow file that can be read anywhere; memory-mapped where possible."""
        if suffixes(self.name)[1]:
            return pa.BufferReader(self.stream().read())
        return pa.memory_map(self.name) if self.local else pa.PythonFile(self.open(), mode="r")


def suffixes(name: str) -> tuple[str, str]:
    """Return the suffix of the format and that of the compression, either empty."""
    plain, packed = Path(name), ""
    if plain.suffix.lower() in COMPRESSIONS:
        plain, packed = plain.with_suffix(""), plain.suffix.lower()
    return plain.suffix.lower(), packed


def read_files(
    sources: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    encoding: str = "utf-8",
    plugins: Plugins | None = None,
) -> pa.Table:
    """Read paths, globs, folders and URIs as one table; a folder stands for all files of a known format in it.

    Folders named KEY=VALUE below a source become columns. A URI of a cloud goes to the storage plugin of its scheme.

    Args:
        plugins: whose settings reach the clouds; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: a file is missing, unreadable or of an unknown format, or files do not fit together.
        PluginError: the plugin of a URI's scheme is not installed.
        ComponentUnavailable: a cloud does not answer, or refuses.
    """
    tables: list[pa.Table] = []
    names: list[str] = []
    for source in sources:
        storage = storage_at(source, plugins)
        files = list_here(source) if storage is None else list_in_cloud(storage, source)
        names += [file.name for file in files]
        if storage is not None and all(Path(file.name).suffix.lower() in COLUMNAR for file in files):
            tables.append(_read_dataset(storage, source, columns))
        else:
            tables += add_partitions([_read(file, columns, encoding) for file in files], files, source)
    if len(tables) == 1:
        return tables[0]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        told = ", ".join(names[:3])
        raise DataError(f"the {len(names)} files ({told}, ...) differ in their columns: {error}") from error


def list_in_cloud(storage: Any, source: str) -> list[File]:
    return [File(uri, partial(storage.open_uri, uri), local=False) for uri in storage.locate(source)]


def _read_dataset(storage: Any, source: str, columns: Sequence[str] | None) -> pa.Table:
    dataset = storage.table(source)
    wanted = None if columns is None else [name for name in columns if name in dataset.schema.names]
    try:
        return dataset.to_table(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, AutoMLError):
            raise
        raise DataError(f"{source!r} cannot be read: {str(error).splitlines()[0]}") from error


def add_partitions(tables: list[pa.Table], files: list[File], source: str) -> list[pa.Table]:
    """Return tables with a column for each folder KEY=VALUE on the way from the source to the file."""
    fixed = set(PurePosixPath(re.split(r"[*?\[]", source, maxsplit=1)[0]).parts)
    folders = [[part for part in Path(file.name).parts[:-1] if part not in fixed] for file in files]
    keys = [{m[1]: m[2] for part in parts if (m := PARTITION.fullmatch(part))} for parts in folders]
    numbers = {
        name
        for name in {name for found in keys for name in found}
        if all(re.fullmatch(r"-?\d{1,18}", found[name]) for found in keys if found.get(name, NO_VALUE) != NO_VALUE)
    }
    for place, found in enumerate(keys):
        for name, text in found.items():
            if name not in tables[place].column_names:
                kind = pa.int64() if name in numbers else pa.string()
                value = None if text == NO_VALUE else int(text) if name in numbers else unquote(text)
                column = pa.repeat(pa.scalar(value, kind), tables[place].num_rows)
                tables[place] = tables[place].append_column(name, column)
    return tables


# ---- which files


def list_here(source: str) -> list[File]:
    scheme, separator, rest = source.partition("://")
    if separator and scheme != "file":
        return _expand_remote(source, scheme)
    path = Path(rest if separator else source).expanduser()
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and _is_data(str(p.relative_to(path))))
    elif any(mark in str(path) for mark in "*?["):
        root = Path(path.anchor or ".")
        found = sorted(p for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file())
    else:
        raise DataError(_missing(path))
    if not found:
        raise DataError(f"{source!r} holds no file of a known format ({', '.join(sorted(READERS))}).")
    return [File(str(p), partial(p.open, "rb")) for p in found]


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no file {str(path)!r}: its folder {str(path.parent)!r} does not exist."
    neighbours = [p.name for p in path.parent.iterdir()]
    return f"there is no file {str(path)!r}.{did_you_mean(path.name, neighbours)}"


def _is_data(name: str) -> bool:
    hidden = any(part.startswith((".", "_")) for part in Path(name).parts)
    return not hidden and suffixes(name)[0] in READERS


def _expand_remote(uri: str, scheme: str) -> list[File]:
    package = PACKAGES.get(scheme, "")
    try:
        fsspec: Any = import_module("fsspec")
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        wanted = " ".join(filter(None, ["fsspec", package]))
        raise DataError(
            f"reading {scheme}:// needs a package that is missing ({error}): pip install {wanted}"
        ) from error
    except ValueError as error:
        raise DataError(f"{uri!r} cannot be read: {error}") from error
    if any(mark in path for mark in "*?["):
        found = sorted(system.glob(path))
    elif system.isdir(path):
        found = sorted(p for p in system.find(path) if _is_data(p.removeprefix(path).lstrip("/")))
    else:
        found = [path]
    if not found or not system.exists(found[0]):
        raise DataError(f"there is no file at {uri!r}.")
    return [File(p, partial(system.open, p, "rb"), local=False) for p in found]


# ---- how to read one


def _read(file: File, columns: Sequence[str] | None, encoding: str) -> pa.Table:
    suffix = suffixes(file.name)[0]
    reader = READERS.get(suffix)
    if reader is None:
        known = ", ".join(sorted(READERS))
        raise DataError(
            f"{file.name!r} is of an unknown format {suffix!r}; known are {known}, also compressed (.gz, .zst)."
        )
    try:
        return reader(file, columns, encoding)
    except AutoMLError:
        raise
    except (pa.ArrowException, OSError, EOFError, UnicodeError, ValueError) as error:
        # Arrow's message names the row or offset; its first line is the one for a reader.
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{file.name!r} cannot be read as {suffix[1:]}: {reason}") from error


def _read_csv(file: File, columns: Sequence[str] | None, encoding: str) -> pa.Table:
    from pyarrow import csv

    types: dict[str, pa.DataType] = {}
    while True:
        read, parse, convert = csv_options(file, types, encoding)
        try:
            table = csv.read_csv(file.stream(), read_options=read, parse_options=parse, convert_options=convert)
            break
        except pa.ArrowInvalid as error:
            # Types come from the first block; a later one may hold a number with decimals, or a word.
            name, wider = widen_type(str(error), file, read, parse)
            if name is None or types.get(name) == wider:
                raise
            types[name] = wider
    _check_utf8(table, file)
    return table


def csv_options(file: File, types: dict[str, pa.DataType], encoding: str = "utf-8") -> tuple[Any, Any, Any]:
    """Return how a file is read, parsed and converted, by its head.

    Raises:
        DataError: it is empty.
    """
    from pyarrow import csv

    head = _head(file)
    if not head.strip():
        raise DataError(f"{file.name!r} is empty.")
    separator = "\t" if suffixes(file.name)[0] == ".tsv" else _separator(head)
    return (
        csv.ReadOptions(encoding=BYTE_ORDER_MARKS.get(head[:2], encoding), block_size=BLOCK),
        csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        csv.ConvertOptions(
            null_values=WORDS_FOR_MISSING, strings_can_be_null=True, quoted_strings_can_be_null=True, column_types=types
        ),
    )


def _head(file: File) -> bytes:
    with file.stream() as stream:
        return bytes(stream.read(1 << 16))


def _separator(head: bytes) -> str:
    """Return the separator that the first line holds most often, outside of quotes."""
    line = next(iter(re.sub(rb'"[^"]*"', b"", head).splitlines()), b"")
    counts = {mark: line.count(mark.encode()) for mark in ",;\t|"}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def widen_type(message: str, file: File, read: Any, parse: Any) -> tuple[str | None, pa.DataType]:
    from pyarrow import csv

    found = FAILED_COLUMN.search(message)
    if found is None:
        return None, pa.string()
    names = csv.open_csv(file.stream(), read_options=read, parse_options=parse).schema.names
    return names[int(found[1])], pa.float64() if found[2] == "int64" else pa.string()


def _check_utf8(table: pa.Table, file: File) -> None:
    # Arrow makes a column binary, without a word, when it holds bytes that are not UTF-8.
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_binary(column.type):
            continue
        for row, value in enumerate(column.to_pylist()):
            try:
                (value or b"").decode()
            except UnicodeDecodeError as error:
                byte = value[error.start]
                raise DataError(
                    f"{file.name!r} is not UTF-8: byte 0x{byte:02x} in column {name!r}, data row {row + 1}. "
                    "Save it as UTF-8, or name its encoding: open_table(path, encoding='latin-1')."
                ) from error


def _read_parquet(file: File, columns: Sequence[str] | None, encoding: str) -> pa.Table:
    from pyarrow import parquet

    with parquet.ParquetFile(file.seekable()) as opened:
        names = opened.schema_arrow.names
        wanted = None if columns is None else [name for name in columns if name in names]
        return opened.read(columns=wanted)


def _read_ipc(file: File, columns: Sequence[str] | None, encoding: str) -> pa.Table:
    source = file.seekable()
    magic = source.read(6)
    source.seek(0)
    return (pa.ipc.open_file(source) if magic == b"ARROW1" else pa.ipc.open_stream(source)).read_all()


def _read_json(file: File, columns: Sequence[str] | None, encoding: str) -> pa.Table:
    from pyarrow import json as arrow_json

    head = _head(file).lstrip()
    if not head:
        raise DataError(f"{file.name!r} is empty.")
    if not head.startswith(b"["):
        # Arrow refuses types that change from line to line, and lines longer than a block: those are read in Python.
        with suppress(pa.ArrowException):
            return arrow_json.read_json(file.stream(), read_options=arrow_json.ReadOptions(block_size=BLOCK))
    from automl.table import from_rows

    text = bytes(file.stream().read()).decode(encoding)
    rows = (
        json.loads(text) if head.startswith(b"[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    )
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{file.name!r} must hold one JSON object per row.")
    return from_rows(rows)


READERS: dict[str, Callable[[File, Sequence[str] | None, str], pa.Table]] = {
    ".arrow": _read_ipc,
    ".csv": _read_csv,
    ".feather": _read_ipc,
    ".ipc": _read_ipc,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".tsv": _read_csv,
    ".txt": _read_csv,
}
