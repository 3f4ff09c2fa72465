"""Data sets of an object store as Arrow; loaded only where one is opened, as it imports pyarrow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import FileInfo, FileSelector, FileType, FSSpecHandler, PyFileSystem

from automl_core.errors import DataError, did_you_mean
from automl_core.remote.formats import format_of
from automl_core.remote.reading import open_object

if TYPE_CHECKING:
    from automl_core.remote.storage import RemoteStorage

__all__ = ["open_dataset"]

MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "?"]


class _Files(FSSpecHandler):  # type: ignore[misc]
    """The files of one listing: no request for the size of each, and errors that say what to do."""

    def __init__(self, storage: RemoteStorage, sizes: dict[str, int]) -> None:
        super().__init__(storage.client.system)
        self.client, self.sizes = storage.client, sizes

    def get_file_info(self, paths: Sequence[str]) -> list[FileInfo]:
        known = ((path, self.sizes.get(path)) for path in paths)
        return [FileInfo(path, FileType.NotFound if size is None else FileType.File, size=size) for path, size in known]

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        return self.get_file_info([path for path in self.sizes if path.startswith(selector.base_dir)])

    def open_input_file(self, path: str) -> pa.PythonFile:
        # Parquet and Arrow ask for ranges, joined where they are near: reading ahead would fetch what was pruned.
        return pa.PythonFile(open_object(self.client, path, self.sizes[path], buffered=False), mode="r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(open_object(self.client, path, self.sizes[path]), mode="r")


def open_dataset(storage: RemoteStorage, uri: str, columns: Sequence[str] | None) -> ds.Dataset:
    """Return the files of a URI as one data set, whose schema has the columns of all.

    Folders named KEY=VALUE become columns. Filters skip partitions and, in Parquet, row groups by their statistics.

    Raises:
        DataError: the data is missing, unreadable, of an unknown format or of several, or lacks a column.
    """
    sizes = storage.files(uri)
    formats = {format_of(path) for path in sizes}
    if len(formats) > 1 or "" in formats:
        raise DataError(f"the files at {uri!r} must all be of one known format, not {', '.join(sorted(formats))}.")
    try:
        factory = ds.FileSystemDatasetFactory(
            PyFileSystem(_Files(storage, sizes)),
            sorted(sizes),
            _format(formats.pop()),
            ds.FileSystemFactoryOptions(
                partition_base_dir=_base(storage.client.path(uri).rstrip("/"), sizes),
                partitioning=ds.HivePartitioning.discover(),
            ),
        )
        schema = factory.inspect(promote_options="permissive", fragments=None)
        return factory.finish(schema if columns is None else _narrow(schema, columns, uri))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the data at {uri!r} cannot be read: {str(error).splitlines()[0]}") from error


def _base(path: str, sizes: dict[str, int]) -> str:
    """Return the folder below which folders are partitions: of a glob, the last one before its first mark."""
    fixed = re.split(r"[*?\[]", path, maxsplit=1)[0]
    return fixed.rpartition("/")[0] if fixed != path or path in sizes else path


def _format(name: str) -> Any:
    from pyarrow import csv

    if name in ("csv", "tsv"):
        return ds.CsvFileFormat(
            csv.ParseOptions(delimiter="\t" if name == "tsv" else ",", newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                null_values=MISSING, strings_can_be_null=True, quoted_strings_can_be_null=True
            ),
        )
    return {"parquet": ds.ParquetFileFormat, "ipc": ds.IpcFileFormat, "json": ds.JsonFileFormat}[name]()


def _narrow(schema: pa.Schema, columns: Sequence[str], uri: str) -> pa.Schema:
    missing = [name for name in columns if name not in schema.names]
    if missing:
        hint = did_you_mean(missing[0], schema.names)
        raise DataError(f"the data at {uri!r} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.{hint}")
    return pa.schema([schema.field(name) for name in columns])
