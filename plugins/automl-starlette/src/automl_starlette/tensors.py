"""The Open Inference Protocol, version 2: tensors in, tensors out, as JSON or as the binary extension has them.

One tensor per input column, of shape [rows] or [rows, 1], or one tensor [rows, inputs] with all of them.
Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md; Triton's extension_binary_data.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from automl_starlette.decoding import parse_json
from automl_starlette.encoding import dump_json
from automl_starlette.problems import Problem

__all__ = ["Inference", "describe_tensors", "parse_inference"]

DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
KINDS = {"number": "FP64", "boolean": "BOOL"}
OUTPUTS = ("predict", "predict_proba")


@dataclass(frozen=True, slots=True)
class Inference:
    """A request: `data` for the service, and how to answer it."""

    data: Any
    id: str | None
    outputs: tuple[tuple[str, bool], ...]  # name, whether as binary

    def answer(self, answer: Any) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Return headers and body."""
        tensors, blobs = [], []
        for name, binary in self.outputs:
            tensor, values = _output(name, answer)
            if binary:
                blob = _to_bytes(tensor["datatype"], values)
                tensor["parameters"] = {"binary_data_size": len(blob)}
                blobs.append(blob)
            else:
                tensor["data"] = np.ravel(values).tolist()
            tensors.append(tensor)
        head: dict[str, Any] = {"model_name": answer.served.name, "model_version": answer.served.version}
        if self.id is not None:
            head["id"] = self.id
        text = dump_json({**head, "outputs": tensors})
        if not blobs:
            return [(b"content-type", b"application/json")], text
        headers = [
            (b"content-type", b"application/octet-stream"),
            (b"inference-header-content-length", b"%d" % len(text)),
        ]
        return headers, b"".join([text, *blobs])


def describe_tensors(card: dict[str, Any]) -> dict[str, Any]:
    """Return a model's metadata from its card."""
    inputs = [
        {"name": item["name"], "datatype": KINDS.get(item["kind"], "BYTES"), "shape": [-1]} for item in card["inputs"]
    ]
    outputs: list[dict[str, Any]] = [{"name": "predict", "datatype": _label_type(card["classes"]), "shape": [-1]}]
    if card["classes"]:
        outputs.append({"name": "predict_proba", "datatype": "FP64", "shape": [-1, len(card["classes"])]})
    return {
        "name": card["name"], "versions": [card["version"]], "platform": "automl", "inputs": inputs, "outputs": outputs,
    }  # fmt: skip


def parse_inference(body: bytes, header_length: bytes | None, names: Sequence[str], *, classes: bool) -> Inference:
    """Read a request.

    Raises:
        Problem: it is no request of the protocol.
    """
    size = len(body)
    if header_length is not None:
        if not header_length.isdigit() or int(header_length) > size:
            raise Problem(400, "Inference-Header-Content-Length is no length within the body.")
        size = int(header_length)
    head = parse_json(body[:size])
    if not isinstance(head, dict) or not isinstance(head.get("inputs"), list) or not head["inputs"]:
        raise Problem(400, 'the request needs "inputs", a list of tensors.')
    request_id = head.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise Problem(400, '"id" must be a string.')
    data = _read_tensors(head["inputs"], memoryview(body)[size:], names)
    return Inference(data, request_id, _wanted(head, classes))


def _read_tensors(tensors: list[Any], blob: memoryview, names: Sequence[str]) -> Any:
    columns: dict[str, Any] = {}
    start = 0
    for tensor in tensors:
        name, datatype, shape = _check(tensor)
        count = math.prod(shape)
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        if size is None:
            values = _from_list(name, datatype, tensor.get("data"), count)
        elif isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(blob) - start:
            raise Problem(400, f"the tensor {name!r} names {size} bytes, of which the body has {len(blob) - start}.")
        else:
            values = _from_bytes(name, datatype, blob[start : start + size], count)
            start += size
        if len(tensors) == 1 and len(shape) == 2 and (shape[1] > 1 or name not in names):
            return _matrix(values, shape)
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise Problem(400, f"the tensor {name!r} has shape {shape}; send [rows] or [rows, 1] for each column.")
        if name in columns:
            raise Problem(400, f"there are two tensors named {name!r}.")
        columns[name] = values
    if start != len(blob):
        raise Problem(400, f"{len(blob) - start} bytes of the body belong to no tensor.")
    return columns


def _matrix(values: Any, shape: list[int]) -> Any:
    if isinstance(values, np.ndarray):
        return values.reshape(shape)
    width = shape[1]
    return [values[start : start + width] for start in range(0, len(values), width)]


def _check(tensor: Any) -> tuple[str, str, list[int]]:
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise Problem(400, "each input is an object with a name.")
    name, datatype, shape = tensor["name"], tensor.get("datatype"), tensor.get("shape")
    if not isinstance(datatype, str) or (datatype != "BYTES" and datatype not in DTYPES):
        raise Problem(400, f"the tensor {name!r} has the datatype {datatype!r}, which is unknown.")
    if not (isinstance(shape, list) and shape and all(type(n) is int and n > 0 for n in shape)):
        raise Problem(400, f"the tensor {name!r} needs a shape of numbers above 0.")
    if not isinstance(tensor.get("parameters") or {}, dict):
        raise Problem(400, f"the parameters of the tensor {name!r} are no object.")
    return name, datatype, shape


def _from_list(name: str, datatype: str, given: Any, count: int) -> list[Any]:
    if not isinstance(given, list):
        raise Problem(400, f"the tensor {name!r} has no data.")
    data: list[Any] = given
    for _ in range(8):  # row-major, flat or nested as the shape is
        if not data or not isinstance(data[0], list):
            break
        if not all(isinstance(item, list) for item in data):
            raise Problem(400, f"the data of the tensor {name!r} is ragged.")
        data = list(chain.from_iterable(data))
    if len(data) != count:
        raise Problem(400, f"the tensor {name!r} has {len(data)} values, but its shape needs {count}.")
    return data


def _from_bytes(name: str, datatype: str, blob: memoryview, count: int) -> Any:
    if datatype == "BYTES":
        return _from_strings(name, blob, count)
    dtype = np.dtype(DTYPES[datatype])
    if len(blob) != count * dtype.itemsize:
        raise Problem(400, f"the tensor {name!r} has {len(blob)} bytes, but its shape needs {count * dtype.itemsize}.")
    array = np.frombuffer(blob, dtype=dtype)
    return array.astype(np.float32) if datatype == "FP16" else array


def _from_strings(name: str, blob: memoryview, count: int) -> list[str]:
    values, place = [], 0
    while place < len(blob):
        if place + 4 > len(blob):
            raise Problem(400, f"the strings of the tensor {name!r} are cut.")
        (size,) = struct.unpack_from("<I", blob, place)
        place += 4
        if place + size > len(blob):
            raise Problem(400, f"the strings of the tensor {name!r} are cut.")
        try:
            values.append(str(blob[place : place + size], "utf-8"))
        except UnicodeDecodeError:
            raise Problem(400, f"a string of the tensor {name!r} is no UTF-8.") from None
        place += size
    if len(values) != count:
        raise Problem(400, f"the tensor {name!r} has {len(values)} strings, but its shape needs {count}.")
    return values


def _wanted(head: dict[str, Any], classes: bool) -> tuple[tuple[str, bool], ...]:
    known = OUTPUTS if classes else OUTPUTS[:1]
    parameters = head.get("parameters") or {}
    binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    outputs = head.get("outputs")
    if not outputs:
        return tuple((name, binary) for name in known)
    if not isinstance(outputs, list):
        raise Problem(400, '"outputs" must be a list.')
    wanted: list[tuple[str, bool]] = []
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in known:
            raise Problem(400, f"there is no output {name!r}; there are: {', '.join(known)}.")
        own = output.get("parameters") or {}
        wanted.append((str(name), own.get("binary_data", binary) is True if isinstance(own, dict) else binary))
    return tuple(wanted)


def _output(name: str, answer: Any) -> tuple[dict[str, Any], Any]:
    if name == "predict_proba":
        return {"name": name, "datatype": "FP64", "shape": list(answer.said.shape)}, answer.said
    labels = answer.labels
    datatype = _label_type(answer.served.model.classes_.tolist())
    return {"name": name, "datatype": datatype, "shape": [len(labels)]}, labels


def _label_type(classes: Sequence[Any]) -> str:
    kinds = {type(label) for label in classes}
    if not kinds:
        return "FP64"
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"


def _to_bytes(datatype: str, values: Any) -> bytes:
    if datatype != "BYTES":
        return bytes(np.ascontiguousarray(values, dtype=DTYPES[datatype]).tobytes())
    texts = [str(value).encode() for value in values.tolist()]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
