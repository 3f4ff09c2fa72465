"""From bytes to rows, by content type."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np
import orjson

from automl_starlette.problems import Problem

__all__ = ["CONTENT_TYPES", "decode", "load_arrow", "parse_json"]

Names = Sequence[str]


def decode(body: bytes, content_type: bytes, names: Names) -> Any:
    """Return one row as a dict, a list of dicts or lists, a dict of columns, an array, or an Arrow table.

    Raises:
        Problem: the type is unknown, or the body is not of it.
    """
    if content_type in (b"application/json", b""):
        return from_json(body, names)
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    reader = READERS.get(kind)
    if reader is None:
        listed = ", ".join(CONTENT_TYPES)
        raise Problem(415, f"the content type {kind!r} is not known; send one of: {listed}.")
    if not body:
        raise Problem(400, "the body is empty.")
    return reader(body, names)


def parse_json(body: bytes) -> Any:
    """Parse strict JSON.

    Raises:
        Problem: it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"the body is no valid JSON: {error}.") from None


def from_json(body: bytes, names: Names) -> Any:
    """Read a row, rows, columns, or one of the envelopes that other servers take."""
    data = parse_json(body)
    if isinstance(data, dict):
        if names[0] not in data:
            data = _open_envelope(data, names)
    elif not isinstance(data, list):
        raise Problem(400, f"the body is {_name(data)}; send an object, or a list of objects.")
    if not data:
        raise Problem(400, "the body has no rows.")
    if isinstance(data, list) and not (isinstance(data[0], dict | list)):
        raise Problem(400, f"row 0 is {_name(data[0])}; send a list of objects, or of lists.")
    if isinstance(data, list) and any(type(row) is not type(data[0]) for row in data):
        raise Problem(400, "the rows are of several types; send all of them as objects, or all as lists.")
    return data


def _open_envelope(data: dict[str, Any], names: Names) -> Any:
    for key, read in ENVELOPES.items():
        if key in data and key not in names:
            return read(data[key], data)
    return data


def _from_rows(rows: Any, body: dict[str, Any]) -> Any:
    columns = body.get("columns")
    if columns is None or not isinstance(rows, list):
        return rows if isinstance(rows, list | dict) else _no_rows(rows)
    if not (isinstance(columns, list) and all(isinstance(name, str) for name in columns)):
        raise Problem(400, '"columns" must be a list of names.')
    if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
        raise Problem(400, f"each row must be a list of {len(columns)} values, one for each of the columns.")
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)} if rows else []


def _from_split(split: Any, _: dict[str, Any]) -> Any:
    if not isinstance(split, dict) or "data" not in split:
        raise Problem(400, '"dataframe_split" must be an object with "columns" and "data".')
    return _from_rows(split["data"], split)


def _no_rows(value: Any) -> Any:
    raise Problem(400, f"the rows are {_name(value)}; send a list.")


def _name(value: Any) -> str:
    known = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "a string"}
    return known.get(type(value), "a list" if isinstance(value, list) else "an object")


ENVELOPES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "rows": _from_rows,
    "instances": _from_rows,
    "dataframe_records": _from_rows,
    "dataframe_split": _from_split,
    "data": _from_rows,
    "inputs": _from_rows,
}


def from_ndjson(body: bytes, _: Names) -> Any:
    rows = [parse_json(line) for line in body.splitlines() if line.strip()]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise Problem(400, "each line must be an object.")
    return rows


def from_csv(body: bytes, _: Names) -> Any:
    """Read CSV with a line of names; values stay text, which every column of a model reads."""
    import csv

    try:
        reader = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        rows = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(400, f"the body is no valid CSV in UTF-8: {error}.") from None
    if not rows:
        raise Problem(400, "the CSV needs a line of names, and at least one row.")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise Problem(400, f"row {number} has {len(row)} values for {len(header)} columns.")
    return {name: [row[place] or None for row in rows] for place, name in enumerate(header)}


def load_arrow() -> None:
    """Import pyarrow where it is installed; it takes half a second, so call it where nobody waits."""
    with suppress(ModuleNotFoundError):  # told by whoever needs it
        import_module("pyarrow.ipc")


def from_arrow(body: bytes, _: Names) -> Any:
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise Problem(415, "this server reads no Arrow: it needs pip install 'automl-starlette[arrow]'.") from None
    try:
        open_it = pa.ipc.open_file if body.startswith(b"ARROW1") else pa.ipc.open_stream
        table = open_it(pa.BufferReader(body)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise Problem(400, f"the body is no valid Arrow stream: {error}.") from None
    if not table.num_rows:
        raise Problem(400, "the table has no rows.")
    return table


def from_doubles(body: bytes, names: Names) -> Any:
    """Read little-endian float64, row by row."""
    width = 8 * len(names)
    if len(body) % width:
        raise Problem(400, f"{len(body)} bytes are no whole rows of {len(names)} float64.")
    return np.frombuffer(body, dtype="<f8").reshape(-1, len(names))


READERS: dict[str, Callable[[bytes, Names], Any]] = {
    "application/json": from_json,
    "application/x-ndjson": from_ndjson,
    "application/jsonl": from_ndjson,
    "text/csv": from_csv,
    "application/vnd.apache.arrow.stream": from_arrow,
    "application/vnd.apache.arrow.file": from_arrow,
    "application/octet-stream": from_doubles,
}
CONTENT_TYPES = tuple(READERS)
