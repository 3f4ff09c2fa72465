"""Flat models as JSON and arrays, without loss.

Both children of a node are stored side by side, so that only the distance to the first one is needed; what a node does
not have (the threshold of a leaf, the value of an inner node) is left out.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact.arrays import ArrayReader, ArrayWriter
from automl.predictor.check import DTYPES, check_flat
from automl.predictor.compiled import kernel
from automl.predictor.layout import lay_out
from automl_core import Additive, Arithmetic, DataError, Derived, Flat, Forest, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["derived_from_json", "derived_to_json", "dump_flat", "flat_from_json", "flat_to_json", "load_flat"]

MAGIC = b"AFLT1\0\0\0"
DIRECT = {
    Forest: ("bits", "values", "roots", "output", "base"),
    Additive: ("weight", "missing", "low", "high", "table", "table_start", "base"),
    Lookup: ("source", "threshold", "equal", "keys", "values"),
}
STORED = {
    "inner": "uint8", "asks": "uint8", "missing_left": "uint8", "feature": "int32", "threshold": "float32",
    "delta": "int32", "leaf": "int32", "category": "int32", "words": "int32", "gain": "float32",
}  # fmt: skip
MADE = ("feature", "threshold", "left", "right", "missing_left", "category", "words", "gain")
INNER = {"feature": "int32", "threshold": "float32", "missing_left": "bool", "category": "int32", "words": "int32"}


def dump_flat(flat: Flat) -> bytes:
    """Return a flat model as bytes; nodes that no root reaches are dropped."""
    writer = ArrayWriter()
    head = json.dumps({"flat": flat_to_json(flat, writer), "arrays": writer.table}).encode()
    return MAGIC + struct.pack("<Q", len(head)) + head + writer.data()


def load_flat(data: bytes) -> Flat:
    """Return what `dump_flat` wrote, checked.

    Raises:
        DataError: the bytes are no flat model, or a damaged one.
    """
    try:
        if data[:8] != MAGIC:
            raise ValueError("another beginning")
        (size,) = struct.unpack_from("<Q", data, 8)
        head = json.loads(data[16 : 16 + size])
        flat = flat_from_json(head["flat"], ArrayReader(head["arrays"], data[16 + size :]))
        check_flat(flat, flat.columns)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError, struct.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"these bytes are no flat model: {error!r}.") from error
    return flat


def flat_to_json(flat: Flat, writer: ArrayWriter) -> dict[str, Any]:
    """Return what JSON holds of a flat model; its arrays go to the writer."""
    body: dict[str, Any] = {
        "kind": type(flat).__name__,
        "columns": flat.columns,
        "link": flat.link,
        "scale": float(flat.scale),
        "derived": [derived_to_json(item, writer) for item in flat.derived],
    }
    arrays = _forest_arrays(flat) if isinstance(flat, Forest) else {n: getattr(flat, n) for n in DIRECT[type(flat)]}
    body["arrays"] = {name: writer.add(_narrow(array)) for name, array in arrays.items()}
    return body


def flat_from_json(body: Any, reader: ArrayReader) -> Flat:
    """Return the flat model; the caller checks it with `check_flat`.

    Raises:
        DataError, KeyError, TypeError, ValueError: the description is damaged.
    """
    arrays = {str(name): reader.get(number) for name, number in body["arrays"].items()}
    common: dict[str, Any] = {
        "columns": _whole(body["columns"]),
        "link": str(body["link"]),
        "scale": float(body["scale"]),
        "derived": tuple(derived_from_json(item, reader) for item in body["derived"]),
    }
    if body["kind"] == "Forest":
        return _make_forest(arrays, common)
    if body["kind"] == "Additive":
        own: dict[str, Any] = {n: _cast(arrays[n], DTYPES[Additive][n]) for n in DIRECT[Additive]}
        return Additive(**own, **common)
    raise DataError(f"the model file has a part of the unknown kind {body['kind']!r}: upgrade automl-sdk.")


def derived_to_json(item: Derived, writer: ArrayWriter) -> dict[str, Any]:
    if isinstance(item, Arithmetic):
        return {"operator": item.operator, "left": int(item.left), "right": int(item.right)}
    default = np.array([item.default], dtype=np.float64)  # an array, as JSON has no NaN
    return {"default": writer.add(default)} | {n: writer.add(_narrow(getattr(item, n))) for n in DIRECT[Lookup]}


def derived_from_json(body: Any, reader: ArrayReader) -> Derived:
    if "operator" in body:
        return Arithmetic(str(body["operator"]), _whole(body["left"]), _whole(body["right"]))
    arrays: dict[str, Any] = {name: _cast(reader.get(body[name]), DTYPES[Lookup][name]) for name in DIRECT[Lookup]}
    return Lookup(**arrays, default=float(reader.get(body["default"]).astype(np.float64).reshape(1)[0]))


# ---- forests


def _forest_arrays(forest: Forest) -> dict[str, NDArray[Any]]:
    layout = lay_out(forest)
    node, inner = layout.node, layout.delta > 0
    asks = forest.category[node[inner]] >= 0
    arrays: dict[str, NDArray[Any]] = {name: getattr(forest, name)[node[inner]] for name in INNER}
    arrays["category"], arrays["words"] = arrays["category"][asks], arrays["words"][asks]
    arrays |= {
        "bits": forest.bits,
        "values": forest.values,
        "output": forest.output,
        "base": forest.base,
        "sizes": np.diff(layout.begin),
        "inner": np.packbits(inner),
        "asks": np.packbits(asks),
        "missing_left": np.packbits(arrays["missing_left"]),
        "delta": layout.delta[inner],
        "leaf": forest.left[node[~inner]],
    }
    if forest.cover is not None:
        arrays["cover"] = forest.cover[node]
    if forest.gain is not None:
        arrays["gain"] = forest.gain[node[inner]]
    return arrays


def _make_forest(arrays: dict[str, NDArray[Any]], common: dict[str, Any]) -> Forest:
    begin = np.concatenate([[0], np.cumsum(_cast(arrays["sizes"], "int64"))])
    nodes = int(begin[-1])
    return Forest(
        **(_make_nodes(arrays, nodes) if kernel is None else _make_nodes_compiled(arrays, nodes)),
        bits=_cast(arrays["bits"], "uint32"),
        values=_cast(arrays["values"], "float64"),
        roots=_cast(begin[:-1], "int32"),
        output=_cast(arrays["output"], "int32"),
        base=_cast(arrays["base"], "float64"),
        cover=_cast(arrays["cover"], "float32") if "cover" in arrays else None,
        **common,
    )


def _make_nodes_compiled(arrays: dict[str, NDArray[Any]], nodes: int) -> dict[str, Any]:
    has_gain = "gain" in arrays
    if arrays["inner"].size != -(-nodes // 8):  # before there is memory for so many nodes
        raise ValueError("bits of a wrong length")
    given = {name: _cast(arrays[name], dtype) for name, dtype in STORED.items() if name != "gain" or has_gain}
    if any(array.ndim != 1 for array in given.values()):
        raise ValueError("an array of nodes has several dimensions")
    given.setdefault("gain", np.empty(0, dtype=np.float32))
    made = {name: np.empty(nodes, dtype=DTYPES[Forest][name]) for name in MADE if name != "gain" or has_gain}
    outs = (*made.values(), np.empty(0, dtype=np.float32))[: len(MADE)]
    kernel.spread(tuple(map(np.ascontiguousarray, given.values())), outs)
    return {"gain": None, **made}


def _make_nodes(arrays: dict[str, NDArray[Any]], nodes: int) -> dict[str, Any]:
    has_children = _unpack(arrays["inner"], nodes)
    inner, leaf = np.flatnonzero(has_children), np.flatnonzero(~has_children)
    asks = inner[_unpack(arrays["asks"], len(inner))]
    missing_left = np.zeros(nodes, dtype=np.bool_)
    missing_left[inner[_unpack(arrays["missing_left"], len(inner))]] = True
    # A sum beyond int32 becomes negative, which `check_flat` refuses.
    left = _spread(arrays["delta"], inner, nodes, 0, "int32") + np.arange(nodes, dtype=np.int32)
    left[leaf] = _of_each(arrays["leaf"], leaf, "int32")
    right = np.zeros(nodes, dtype=np.int32)
    right[inner] = left[inner] + np.int32(1)
    return {
        "feature": _spread(arrays["feature"], inner, nodes, -1, "int32"),
        "threshold": _spread(arrays["threshold"], inner, nodes, 0, "float32"),
        "left": left,
        "right": right,
        "missing_left": missing_left,
        "category": _spread(arrays["category"], asks, nodes, -1, "int32"),
        "words": _spread(arrays["words"], asks, nodes, 0, "int32"),
        "gain": _spread(arrays["gain"], inner, nodes, 0, "float32") if "gain" in arrays else None,
    }


def _spread(numbers: NDArray[Any], where: NDArray[np.intp], nodes: int, elsewhere: Any, dtype: str) -> NDArray[Any]:
    whole = np.full(nodes, elsewhere, dtype=dtype)
    whole[where] = _of_each(numbers, where, dtype)
    return whole


def _of_each(numbers: NDArray[Any], where: NDArray[np.intp], dtype: str) -> NDArray[Any]:
    if numbers.shape != where.shape:
        raise ValueError(f"an array of shape {numbers.shape} for {len(where)} nodes")
    return _cast(numbers, dtype)


def _unpack(bits: NDArray[Any], count: int) -> NDArray[np.bool_]:
    if bits.dtype != np.uint8 or bits.ndim != 1 or len(bits) != -(-count // 8):
        raise ValueError("bits of a wrong length")
    return np.unpackbits(bits, count=count).astype(np.bool_)


# ---- types


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers in the smallest type that holds them all."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize == 1 or not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return an array in the type that the format promises.

    Raises:
        ValueError: it is of another kind, or a number does not fit.
    """
    wanted = np.dtype(dtype)
    if array.dtype == wanted:
        return array
    if array.dtype.kind not in "iu" or wanted.kind not in "iu":
        raise ValueError(f"an array of type {array.dtype} where {dtype} belongs")
    limits = np.iinfo(wanted)
    if (
        not np.can_cast(array.dtype, wanted)
        and array.size
        and not (limits.min <= int(array.min()) and int(array.max()) <= limits.max)
    ):
        raise ValueError(f"a number does not fit into {dtype}")
    return array.astype(wanted)


def _whole(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{number!r} is no whole number")
    return number
