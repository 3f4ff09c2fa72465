"""Tensors in, tensors out.

One tensor per input column, of shape [rows] or [rows, 1], or one tensor [rows, inputs] with all of them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core import DataError
from automl_grpc.protocol import message

__all__ = ["describe_model", "read_rows", "wanted_outputs", "write_answer"]

DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
CONTENTS = {
    "BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
KINDS = {"number": "FP64", "boolean": "BOOL"}
OUTPUTS = ("predict", "predict_proba")


def describe_model(card: dict[str, Any], versions: Sequence[str]) -> Any:
    """Return a model's metadata from its card."""
    tensor = message("ModelMetadataResponse.TensorMetadata")
    inputs = [tensor(name=i["name"], datatype=KINDS.get(i["kind"], "BYTES"), shape=[-1]) for i in card["inputs"]]
    outputs = [tensor(name="predict", datatype=_label_type(card["classes"]), shape=[-1])]
    if card["classes"]:
        outputs.append(tensor(name="predict_proba", datatype="FP64", shape=[-1, len(card["classes"])]))
    told = {"name": card["name"], "versions": versions, "platform": "automl", "inputs": inputs, "outputs": outputs}
    return message("ModelMetadataResponse")(**told)


def read_rows(request: Any, names: Sequence[str]) -> Any:
    """Return the rows of a ModelInferRequest, by column or as a matrix, for the prediction service.

    Raises:
        DataError: the tensors are none of the protocol, or do not fit together.
    """
    tensors, raw = request.inputs, request.raw_input_contents
    if not tensors:
        raise DataError("the request has no inputs.")
    if raw and len(raw) != len(tensors):
        raise DataError(
            f"the request has {len(tensors)} inputs but {len(raw)} raw contents: send one for each, or none."
        )
    columns: dict[str, Any] = {}
    for place, tensor in enumerate(tensors):
        name, shape = tensor.name, list(tensor.shape)
        values = _read(tensor, _count(name, shape), raw[place] if raw else None)
        if len(tensors) == 1 and len(shape) == 2 and (shape[1] > 1 or name not in names):
            return _matrix(values, shape)
        if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1):
            raise DataError(f"the tensor {name!r} has shape {shape}; send [rows] or [rows, 1] for each column.")
        if name in columns:
            raise DataError(f"there are two tensors named {name!r}.")
        columns[name] = values
    return columns


def wanted_outputs(request: Any, *, classes: bool) -> tuple[str, ...]:
    """Return the names of the outputs that a request asks for, all where it names none.

    Raises:
        DataError: there is no such output.
    """
    known = OUTPUTS if classes else OUTPUTS[:1]
    names = tuple(output.name for output in request.outputs) or known
    for name in names:
        if name not in known:
            raise DataError(f"there is no output {name!r}; there are: {', '.join(known)}.")
    return names


def write_answer(answer: Any, request: Any, outputs: Sequence[str]) -> Any:
    """Return the ModelInferResponse of an answer of the service, raw where the request was raw."""
    served = answer.served
    response = message("ModelInferResponse")(model_name=served.name, model_version=served.version, id=request.id)
    for name in outputs:
        datatype, values = "FP64", answer.said
        if name == "predict":
            datatype, values = _label_type(served.model.classes_.tolist()), answer.labels
        tensor = response.outputs.add(name=name, datatype=datatype, shape=list(values.shape))
        if request.raw_input_contents:
            response.raw_output_contents.append(_to_bytes(datatype, values))
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(_to_list(datatype, values))
    return response


def _count(name: str, shape: Sequence[int]) -> int:
    if not shape or min(shape) < 1:
        raise DataError(f"the tensor {name!r} needs a shape of numbers above 0.")
    return math.prod(shape)


def _read(tensor: Any, count: int, raw: bytes | None) -> Any:
    name, datatype = tensor.name, tensor.datatype
    if datatype != "BYTES" and datatype not in DTYPES:
        raise DataError(f"the tensor {name!r} has the datatype {datatype!r}, which is unknown.")
    if raw is not None:
        return _from_raw(name, datatype, raw, count)
    if datatype not in CONTENTS:
        raise DataError(f"the tensor {name!r} of {datatype} can only be sent raw.")
    values: list[Any] = list(getattr(tensor.contents, CONTENTS[datatype]))
    if len(values) != count:
        raise DataError(f"the tensor {name!r} has {len(values)} values, but its shape needs {count}.")
    return [_text(name, value) for value in values] if datatype == "BYTES" else values


def _from_raw(name: str, datatype: str, raw: bytes, count: int) -> NDArray[Any] | list[str]:
    if datatype == "BYTES":
        return _from_strings(name, raw, count)
    dtype = np.dtype(DTYPES[datatype])
    if len(raw) != count * dtype.itemsize:
        raise DataError(f"the tensor {name!r} has {len(raw)} bytes, but its shape needs {count * dtype.itemsize}.")
    array = np.frombuffer(raw, dtype=dtype)
    return array.astype(np.float32) if datatype == "FP16" else array


def _from_strings(name: str, raw: bytes, count: int) -> list[str]:
    values, place = [], 0
    while place < len(raw):
        size = struct.unpack_from("<I", raw, place)[0] if place + 4 <= len(raw) else len(raw)
        place += 4
        if place + size > len(raw):
            raise DataError(f"the strings of the tensor {name!r} are cut.")
        values.append(_text(name, raw[place : place + size]))
        place += size
    if len(values) != count:
        raise DataError(f"the tensor {name!r} has {len(values)} strings, but its shape needs {count}.")
    return values


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise DataError(f"a string of the tensor {name!r} is no UTF-8.") from None


def _matrix(values: Any, shape: Sequence[int]) -> Any:
    if isinstance(values, np.ndarray):
        return values.reshape(shape)
    width = shape[1]
    return [values[start : start + width] for start in range(0, len(values), width)]


def _label_type(classes: Sequence[Any]) -> str:
    kinds = {type(label) for label in classes}
    if not kinds:
        return "FP64"
    return {bool: "BOOL", int: "INT64", float: "FP64"}.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"


def _to_list(datatype: str, values: NDArray[Any]) -> list[Any]:
    listed: list[Any] = values.ravel().tolist()
    return [str(value).encode() for value in listed] if datatype == "BYTES" else listed


def _to_bytes(datatype: str, values: NDArray[Any]) -> bytes:
    if datatype != "BYTES":
        return np.ascontiguousarray(values, dtype=DTYPES[datatype]).tobytes()
    return b"".join(struct.pack("<I", len(text)) + text for text in _to_list(datatype, values))
