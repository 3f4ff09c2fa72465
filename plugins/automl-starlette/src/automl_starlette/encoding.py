"""From answers to bytes, by what the client accepts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import orjson

from automl_starlette.problems import Problem

__all__ = ["JSON", "dump_json", "encode"]

JSON = b"application/json"
ARROW = b"application/vnd.apache.arrow.stream"
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def dump_json(value: Any) -> bytes:
    """Return JSON; numpy's arrays and scalars are taken."""
    return orjson.dumps(value, option=OPTIONS)


def encode(answer: Any, accept: bytes, *, proba: bool) -> tuple[bytes, bytes]:
    """Return the content type and body of an answer of the service.

    Raises:
        Problem: probabilities are asked of a model that has none.
    """
    model = answer.served.model
    if proba and model.task == "regression":
        raise Problem(400, f"the model predicts the number {model.target!r}, which has no probabilities.")
    if accept and accept != b"*/*":
        for kind, write in (("text/csv", _to_csv), (ARROW.decode(), _to_arrow), ("application/x-ndjson", _to_ndjson)):
            if kind.encode() in accept.lower():
                return kind.encode(), write(_columns(answer, proba))
    said: dict[str, Any] = {"predictions": answer.listed}
    if proba:
        said |= {"probabilities": answer.said.tolist(), "classes": answer.served.classes}
    said["model"], said["version"] = answer.served.name, answer.served.version
    return JSON, orjson.dumps(said)


def _columns(answer: Any, proba: bool) -> dict[str, Sequence[Any]]:
    model = answer.served.model
    columns: dict[str, Sequence[Any]] = {model.target: answer.listed}
    if proba:
        columns |= {f"probability_{label}": answer.said[:, i].tolist() for i, label in enumerate(model.classes_)}
    return columns


def _to_csv(columns: dict[str, Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def _to_ndjson(columns: dict[str, Sequence[Any]]) -> bytes:
    rows = zip(*columns.values(), strict=True)
    return b"".join(orjson.dumps(dict(zip(columns, row, strict=True))) + b"\n" for row in rows)


def _to_arrow(columns: dict[str, Sequence[Any]]) -> bytes:
    try:
        import pyarrow as pa
    except ModuleNotFoundError:
        raise Problem(406, "this server writes no Arrow: it needs pip install 'automl-starlette[arrow]'.") from None
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
