"""Data sets of this machine, read by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow.dataset as ds

from automl_core import DataError, did_you_mean
from automl_core.remote.formats import format_of, is_data

__all__ = ["open_dataset"]

MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "NULL", "null", "None", "?"]
PARTITION = re.compile(r"/[^/=]+=[^/]*/")
READABLE = ("csv", "json", "parquet", "tsv")


def open_dataset(uri: str, columns: Sequence[str] | None, where: str, *, threads: int, memory: str) -> ds.Dataset:
    """See `DuckDBStorage.table`."""
    files = _locate(uri)
    formats = sorted({format_of(file) or "unknown" for file in files})
    if len(formats) > 1 or formats[0] not in READABLE:
        raise DataError(f"the files at {uri!r} must all be of one of {', '.join(READABLE)}, not {', '.join(formats)}.")
    # Nothing is installed or loaded over a network: what DuckDB brings along suffices.
    config: dict[str, Any] = {"threads": max(threads, 1), "autoinstall_known_extensions": False}
    if memory:
        config["memory_limit"] = memory
    with duckdb.connect(config=config) as connection:
        try:
            relation = _relate(connection, files, formats[0])
            _check_columns(relation.columns, columns, uri)
            if where:
                relation = relation.filter(where)
            if columns is not None:
                relation = relation.select(*(duckdb.ColumnExpression(name) for name in columns))
            return ds.dataset(relation.to_arrow_table())
        except (duckdb.Error, OSError) as error:
            raise DataError(f"the data at {uri!r} cannot be read: {str(error).splitlines()[0]}") from error


def _locate(uri: str) -> list[str]:
    scheme, separator, rest = uri.partition("://")
    if separator and scheme.lower() != "file":
        raise DataError(
            f"storage 'duckdb' reads files of this machine, not {uri!r}. For clouds there are automl-s3, automl-gcs and "
            f"automl-azure."
        )
    path = Path(unquote(rest) if separator else uri).expanduser()
    if path.is_file():
        return [str(path)]
    found = [path] if path.is_dir() else []
    if not found and has_magic(uri):
        found = [Path(name) for name in glob(str(path), recursive=True)]  # noqa: PTH207 - Path.glob takes no absolute pattern
    files = {str(p) for p in found if p.is_file()}
    for folder in (p for p in found if p.is_dir()):
        files |= {str(p) for p in folder.rglob("*") if p.is_file() and is_data(p.relative_to(folder).as_posix())}
    if not files:
        raise DataError(f"there is no file at {uri!r} of a known format ({', '.join(READABLE)}).")
    return sorted(files)


def _relate(connection: duckdb.DuckDBPyConnection, files: list[str], kind: str) -> duckdb.DuckDBPyRelation:
    # As values, not patterns: a name with a bracket in it is no glob.
    named = [file.translate({ord(mark): f"[{mark}]" for mark in "*?["}) for file in files]
    options: dict[str, Any] = {"union_by_name": True, "hive_partitioning": all(map(PARTITION.search, files))}
    if kind == "parquet":
        return connection.read_parquet(named, **options)
    if kind == "json":
        return connection.read_json(named, **options)
    delimiter = "\t" if kind == "tsv" else ","
    return connection.read_csv(named, delimiter=delimiter, header=True, na_values=MISSING, **options)


def _check_columns(known: Sequence[str], wanted: Sequence[str] | None, uri: str) -> None:
    missing = [name for name in wanted or () if name not in known]
    if missing:
        hint = did_you_mean(missing[0], known)
        raise DataError(f"the data at {uri!r} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.{hint}")
