"""Anything that holds a table, as an Arrow table."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.scalars import NestedValue, as_text, is_missing
from automl_core import DataError, did_you_mean

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["from_rows", "open_table", "position_names", "with_target"]

NESTED = pa.list_(pa.null())
NUMBERS = (int, float, np.number, np.bool_, Decimal)
ARROW_UNITS = {"M": ("D", "s", "ms", "us", "ns"), "m": ("s", "ms", "us", "ns")}


def open_table(
    data: Any, *, columns: Sequence[str] | None = None, encoding: str = "utf-8", plugins: Plugins | None = None
) -> pa.Table:
    """Return data as an Arrow table, without a copy where that is possible.

    Args:
        data: a path, glob, folder or URI, or a list of them (CSV, Parquet, Arrow IPC, JSON lines); a pandas, polars or
            pyarrow table, a DuckDB relation, anything with an Arrow stream; a numpy array of shape (rows, columns), whose
            columns are called x0, x1, ..., or a structured one; a dict of columns, a list of dicts or of rows.
        columns: the names to keep, in this order; None keeps all.
        encoding: of CSV and JSON files.
        plugins: whose settings reach the clouds of URIs; None reads them from the environment and `automl.toml`.

    Columns come out as null, boolean, integer, float, string, timestamp, date, dictionary (of strings or numbers),
    binary or nested ones. Durations and times of day become their seconds, decimals floats, and a column that mixes
    types text.

    Raises:
        DataError: there is no such file or column, no row or no column, a name appears twice, or the file or object cannot
            be read as a table.
    """
    table = _open(data, encoding, plugins)
    _check_names(table.column_names)
    if columns is not None:
        table = table.select(_known(columns, table.column_names))
    if not table.num_columns:
        raise DataError("the table has no columns.")
    if not table.num_rows:
        raise DataError("the table has no rows.")
    arrays = [_tidy(column) for column in table.columns]
    return pa.table(arrays, names=table.column_names)


def with_target(data: Any, y: Any, *, name: str | None = None) -> tuple[pa.Table, str]:
    """Return a table with `y` as its last column, and that column's name.

    Args:
        y: shape (rows,) or (rows, 1): an array, a series, a list.
        name: None takes that of `y`, else "target".

    Raises:
        DataError: the lengths differ, or the table has a column of that name already.
    """
    table = open_table(data)
    given = getattr(y, "name", None)
    if name is None:
        name = given if isinstance(given, str) and given else "target"
        while name in table.column_names:
            name = f"{name}_"
    elif name in table.column_names:
        raise DataError(f"the table has a column {name!r} already: leave y out, or give the target another name.")
    column = _column(y)
    if len(column) != table.num_rows:
        raise DataError(f"the table has {table.num_rows} rows, but y has {len(column)}.")
    return table.append_column(name, _tidy(column)), name


def from_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a list of dicts as a table; a key that a row lacks is missing there."""
    names = dict.fromkeys(key for row in rows for key in row)
    return pa.table([_from_list([row.get(name) for row in rows]) for name in names], names=[str(n) for n in names])


def position_names(count: int) -> list[str]:
    """Return the names of columns that have none."""
    return [f"x{i}" for i in range(count)]


# ---- which kind of data


def _open(data: Any, encoding: str, plugins: Plugins | None) -> pa.Table:
    if isinstance(data, str | os.PathLike):
        return _open_files([data], encoding, plugins)
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, np.ndarray):
        return _from_numpy(data)
    if isinstance(data, Mapping):
        return _from_columns(data)
    if isinstance(data, list | tuple):
        return _from_list_of(data, encoding, plugins)
    if _home(data) == "pandas":
        return _from_pandas(data)
    if _home(data) == "polars" and hasattr(data, "collect"):
        data = data.collect()
    if _home(data) == "pyarrow" and hasattr(data, "to_table"):
        return data.to_table()
    if hasattr(data, "__arrow_c_stream__") or isinstance(data, pa.RecordBatch):
        return _from_stream(data)
    if _home(data) == "scipy":
        raise DataError("a sparse matrix is no table: pass its toarray().")
    if hasattr(data, "__array__"):
        return _from_numpy(np.asarray(data))
    raise DataError(
        f"a {type(data).__name__} is no table; pass a path, a data frame, an Arrow table, a numpy array, a dict of columns "
        "or a list of dicts."
    )


def _home(data: Any) -> str:
    return type(data).__module__.partition(".")[0]


def _open_files(paths: Iterable[Any], encoding: str, plugins: Plugins | None) -> pa.Table:
    from automl.files import read_files

    return read_files([os.fspath(path) for path in paths], encoding=encoding, plugins=plugins)


def _from_list_of(data: Sequence[Any], encoding: str, plugins: Plugins | None) -> pa.Table:
    if not data:
        raise DataError("the table has no rows.")
    if all(isinstance(item, str | os.PathLike) for item in data):
        return _open_files(data, encoding, plugins)
    if all(isinstance(item, Mapping) for item in data):
        return from_rows(data)
    if all(isinstance(item, list | tuple | np.ndarray) for item in data):
        widths = {len(item) for item in data}
        if len(widths) > 1:
            raise DataError(f"the rows differ in length: {', '.join(map(str, sorted(widths)))} values.")
        columns = [_from_list(list(values)) for values in zip(*data, strict=True)]
        return pa.table(columns, names=position_names(len(columns)))
    kinds = ", ".join(sorted({type(item).__name__ for item in data}))
    raise DataError(f"a list of {kinds} is no table; pass a list of dicts, of rows or of paths.")


def _from_numpy(data: np.ndarray[Any, Any]) -> pa.Table:
    if data.dtype.names:
        return pa.table([_column(data[name]) for name in data.dtype.names], names=list(data.dtype.names))
    if data.ndim != 2:
        raise DataError(f"the array has shape {data.shape}; a table has two dimensions: reshape it to (rows, columns).")
    columns = [_column(data[:, i]) for i in range(data.shape[1])]
    return pa.table(columns, names=position_names(data.shape[1]))


def _from_columns(data: Mapping[Any, Any]) -> pa.Table:
    if data and not any(_is_column(value) for value in data.values()):
        return from_rows([data])
    columns = {str(name): _column(values) for name, values in data.items()}
    if len(columns) < len(data):
        _check_names([str(name) for name in data])
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:5])
        raise DataError(f"the columns differ in length: {told}.")
    return pa.table(list(columns.values()), names=list(columns))


def _from_pandas(data: Any) -> pa.Table:
    if data.ndim == 1:
        data = data.to_frame()
    names = [str(name) for name in data.columns]
    _check_names(names)
    columns = [_column(column) for _, column in data.items()]  # iloc takes twice as long
    return pa.table(columns, names=names)


def _from_stream(data: Any) -> pa.Table:
    try:
        return pa.table(data)
    except (pa.ArrowException, TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"the {type(data).__name__} cannot be read as an Arrow table: {error}") from error


# ---- one column


def _is_column(value: Any) -> bool:
    if isinstance(value, str | bytes | Mapping):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__len__") or hasattr(value, "__arrow_c_array__") or hasattr(value, "__arrow_c_stream__")


def _column(values: Any) -> pa.ChunkedArray:
    if not _is_column(values):
        raise DataError(f"a column must be an array or a list, not a {type(values).__name__}.")
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.chunked_array([values]) if isinstance(values, pa.Array) else values
    if hasattr(values, "__arrow_c_stream__") or _home(values) == "pandas":
        try:
            if _home(values) == "pandas":
                return _chunked(pa.array(values, from_pandas=True))
            return pa.chunked_array(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return _from_list(list(values))  # objects of several types
    array = np.asarray(values) if hasattr(values, "__array__") else None
    if array is None:
        return _from_list(list(values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"a column must have one dimension, not shape {array.shape}.")
    if array.dtype.kind in "mM" and np.datetime_data(array.dtype)[0] not in ARROW_UNITS[array.dtype.kind]:
        array = array.astype(f"{array.dtype.kind}8[s]")
    if array.dtype.kind in "biufmM" and array.dtype.itemsize <= 8:
        return _chunked(pa.array(array))
    if array.dtype.kind == "c":
        raise DataError("complex numbers cannot be learned from: pass their real and imaginary parts as columns.")
    return _from_list(list(array))


def _chunked(array: Any) -> pa.ChunkedArray:
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _from_list(values: list[Any]) -> pa.ChunkedArray:
    """Return a list of Python values as a column; values of several types as text."""
    kinds = set(map(type, values))
    dates = any(issubclass(kind, date | time | timedelta) for kind in kinds)
    # Beside a date Arrow would take numbers for instants, and cut times off.
    if dates and (any(issubclass(kind, NUMBERS) for kind in kinds) or (date in kinds and datetime in kinds)):
        values = [None if is_missing(value) else value for value in values]
        if len(set(map(type, values)) - {type(None)}) > 1:
            return pa.chunked_array([_mixed(values)])
    try:
        return pa.chunked_array([pa.array(values, from_pandas=True)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return pa.chunked_array([_mixed(values)])


def _mixed(values: list[Any]) -> pa.Array:
    known = [None if is_missing(value) else value for value in values]
    if all(value is None or isinstance(value, NUMBERS) for value in known):
        return pa.array([None if value is None else _to_float(value) for value in known], type=pa.float64())
    try:
        return pa.array([None if value is None else as_text(value) for value in known], type=pa.string())
    except NestedValue:
        return pa.nulls(len(values), NESTED)  # the description drops it as nested


def _to_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _tidy(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in one of the types that `open_table` promises."""
    kind, types = column.type, pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _tidy(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if types.is_run_end_encoded(kind):
        return _tidy(pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type))
    if types.is_dictionary(kind):
        return _tidy_dictionary(column)
    if types.is_string_view(kind):
        return column.cast(pa.string() if column.nbytes < 1 << 30 else pa.large_string())
    if types.is_float16(kind):
        return column.cast(pa.float32())
    if types.is_decimal(kind):
        return column.cast(pa.float64())
    if types.is_duration(kind) or types.is_time(kind):
        per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        whole = column.cast(pa.int32() if types.is_time32(kind) else pa.int64())
        return pc.divide(whole.cast(pa.float64(), safe=False), per_second)
    return column


def _tidy_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    inner, types = column.type.value_type, pa.types
    plain = types.is_string(inner) or types.is_large_string(inner)
    if plain or types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner):
        return column
    if types.is_string_view(inner):  # few functions of Arrow know views
        parts = [pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(pa.string())) for c in column.chunks]
        return pa.chunked_array(parts, pa.dictionary(column.type.index_type, pa.string()))
    return _tidy(pa.chunked_array([chunk.dictionary_decode() for chunk in column.chunks], inner))


# ---- names


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"column names appear more than once: {', '.join(map(repr, twice))}. Rename them.")


def _known(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    known = set(names)
    missing = [name for name in wanted if name not in known]
    if missing:
        told = ", ".join(f"{name!r}" for name in missing[:10])
        hint = did_you_mean(missing[0], known - set(wanted))
        raise DataError(f"the table lacks the column{'s' * (len(missing) > 1)} {told}.{hint}")
    return list(wanted)
