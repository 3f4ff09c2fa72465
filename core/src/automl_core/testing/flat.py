"""A plain evaluator of flat models: slow, and so close to the docstrings of `automl_core.flat` that it can be trusted."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from automl_core.flat import ACTIVATIONS, LINKS, OPERATORS, Additive, Arithmetic, Derived, Flat, Forest, Lookup, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check", "evaluate"]

MISSING = np.uint64(0xFFFFFFFF)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

# What each array must be, as the docstrings of `automl_core.flat` have it.
_DTYPES = {
    "source": "int32",
    "equal": "bool",
    "keys": "uint64",
    "feature": "int32",
    "left": "int32",
    "right": "int32",
    "missing_left": "bool",
    "category": "int32",
    "words": "int32",
    "bits": "uint32",
    "roots": "int32",
    "output": "int32",
    "cover": "float32",
    "gain": "float32",
    "weight": "float64",
    "missing": "float64",
    "low": "float64",
    "high": "float64",
    "table": "float64",
    "table_start": "int32",
    "base": "float64",
}
# The same for a network, where some of these names mean another array; the others are float32.
_NETWORK_DTYPES = {
    "source": "int32", "flags": "int32", "categories": "int32", "start": "int32", "width": "int32", "levels": "int32",
    "center": "float64", "factor": "float64", "base": "float64",
}  # fmt: skip


def evaluate(flat: Flat | Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Predict encoded rows of shape (rows, columns) as `Model.predict` does.

    Returns:
        float64: numbers of shape (rows,) for the links "identity" and "exp", else probabilities (rows, classes).

    Raises:
        ValueError: the arrays of `flat` contradict their description, or `values` have another number of columns.
    """
    check(flat)
    if values.dtype != np.float32 or values.ndim != 2 or values.shape[1] != flat.columns:
        raise ValueError(f"values must be float32 of shape (rows, {flat.columns}), not {values.dtype} {values.shape}")
    wide = np.column_stack([values, *(_derive(derived, values) for derived in flat.derived)])
    if isinstance(flat, Network):
        return _link(flat.link, flat.base + flat.scale * _network(flat, wide))
    added = _forest(flat, wide) if isinstance(flat, Forest) else _additive(flat, wide)
    return _link(flat.link, flat.base + flat.scale * added)


def check(flat: Flat | Network) -> None:
    """Raise ValueError where the arrays of a flat model contradict their description in `automl_core.flat`."""
    _require(isinstance(flat, Forest | Additive | Network), f"a {type(flat).__name__} is no kind of flat model")
    _require(flat.link in LINKS, f"unknown link {flat.link!r}; known: {sorted(LINKS)}")
    _require(flat.base.ndim == 1, "base must have shape (outputs,)")
    single = flat.link in ("identity", "sigmoid", "exp")
    _require(not single or flat.base.size == 1, f"link {flat.link!r} needs one output, not {flat.base.size}")
    _check_dtypes(flat)
    for derived in flat.derived:
        _check_derived(derived, flat.columns)
    if isinstance(flat, Forest):
        _check_forest(flat)
    elif isinstance(flat, Network):
        _check_network(flat)
    else:
        _check_additive(flat)


def _derive(derived: Derived, values: NDArray[np.float32]) -> NDArray[np.float32]:
    if isinstance(derived, Lookup):
        return _look_up(derived, values)
    left, right = values[:, derived.left], values[:, derived.right]
    operations = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
    with np.errstate(all="ignore"):
        result = operations[derived.operator](left, right, dtype=np.float32)
    return np.where(np.isfinite(result), result, np.float32(np.nan))


def _look_up(lookup: Lookup, values: NDArray[np.float32]) -> NDArray[np.float32]:
    key = np.zeros(len(values), np.uint64)
    for source, threshold, equal in zip(lookup.source, lookup.threshold, lookup.equal, strict=True):
        column = values[:, source]
        if np.isnan(threshold):
            codes = np.where(np.isnan(column), 0, column).astype(np.uint64)
            digit = np.where(np.isnan(column), MISSING, codes)
        else:
            digit = (column == threshold if equal else column > threshold).astype(np.uint64)
        key = (key ^ (digit + np.uint64(1))) * MULTIPLIER
        key ^= key >> np.uint64(32)
    table = dict(zip(lookup.keys.tolist(), lookup.values, strict=True))
    return np.array([table.get(one, lookup.default) for one in key.tolist()], dtype=np.float32)


def _forest(forest: Forest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    added = np.zeros((len(values), forest.base.size))
    width = forest.values.shape[1]
    for root, output in zip(forest.roots, forest.output, strict=True):
        leaves = _leaves(forest, values, int(root))
        added[:, output : output + width] += forest.values[forest.left[leaves]]
    return added


def _leaves(forest: Forest, values: NDArray[np.float32], root: int) -> NDArray[np.int32]:
    node = np.full(len(values), root, np.int32)
    for _ in range(len(forest.feature)):
        rows = np.flatnonzero(forest.feature[node] >= 0)
        if rows.size == 0:
            return node
        at = node[rows]
        goes_left = _decide(forest, at, values[rows, forest.feature[at]])
        node[rows] = np.where(goes_left, forest.left[at], forest.right[at])
    _require(bool((forest.feature[node] < 0).all()), f"the tree at node {root} has a cycle")
    return node


def _decide(forest: Forest, node: NDArray[np.int32], value: NDArray[np.float32]) -> NDArray[np.bool_]:
    missing = np.isnan(value)
    inside = (forest.category[node] >= 0) & (value >= 0) & (value < 32.0 * forest.words[node])
    code = np.where(inside, value, 0).astype(np.int64)
    word = np.where(inside, forest.category[node] + code // 32, 0)
    bits = forest.bits if forest.bits.size else np.zeros(1, np.uint32)
    member = inside & ((bits[word] >> (code % 32).astype(np.uint32)) & 1).astype(bool)
    decided = np.where(forest.category[node] < 0, value <= forest.threshold[node], member)
    return np.where(missing, forest.missing_left[node], decided)


def _additive(additive: Additive, values: NDArray[np.float32]) -> NDArray[np.float64]:
    added = np.zeros((len(values), additive.base.size))
    for column, start in enumerate(additive.table_start):
        value = values[:, column].astype(np.float64)
        missing = np.isnan(value)
        if start < 0:
            part = np.clip(value, additive.low[column], additive.high[column])[:, None] * additive.weight[column]
        else:
            part = additive.table[start + np.where(missing, 0, value).astype(np.int64)]
        added += np.where(missing[:, None], additive.missing[column], part)
    return added


def _network(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    numbers = values[:, network.source].astype(np.float64)
    scaled = (numbers - network.center) * network.factor
    squashed = np.where(np.isnan(numbers), 0.0, scaled / np.sqrt(1.0 + (scaled / 3.0) ** 2))
    cosines = np.cos(squashed[:, :, None] * network.frequency.astype(np.float64) + network.phase.astype(np.float64))
    parts = [
        squashed,
        np.isnan(values[:, network.flags]).astype(np.float64),
        cosines.reshape(len(values), network.frequency.size),
    ]
    for column, start, width, levels in zip(
        network.categories, network.start, network.width, network.levels, strict=True
    ):
        codes = values[:, column]
        place = start + width * np.where(np.isnan(codes), levels, codes).astype(np.int64)
        parts.append(network.table[place[:, None] + np.arange(width)].astype(np.float64))
    hidden = np.concatenate(parts, axis=1)
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if number:
            hidden = _activate(network.activation, hidden)
        hidden = hidden @ weight.astype(np.float64) + bias.astype(np.float64)
    return np.asarray(np.clip(hidden, network.low, network.high))


def _activate(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "mish":
        return np.asarray(value * np.tanh(np.logaddexp(0.0, value)))
    if name == "relu":
        return np.maximum(value, 0.0)
    return np.where(value > 0, 1.0507009873554805 * value, 1.7580993408473766 * np.expm1(np.minimum(value, 0.0)))


def _link(link: str, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    if link == "identity":
        return raw[:, 0]
    if link == "exp":
        return np.exp(raw[:, 0])
    if link == "sigmoid":
        # The logistic function by the hyperbolic tangent, which cannot overflow.
        first = 0.5 * (1.0 + np.tanh(raw[:, 0] / 2.0))
        return np.column_stack([1.0 - first, first])
    parts = np.exp(raw - raw.max(axis=1, keepdims=True)) if link == "softmax" else np.clip(raw, 0.0, None)
    total: NDArray[np.float64] = parts.sum(axis=1, keepdims=True)
    return np.asarray(parts / total, dtype=np.float64)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_dtypes(part: Flat | Network | Lookup) -> None:
    for field in fields(part):
        array = getattr(part, field.name)
        if not isinstance(array, np.ndarray):
            continue
        wide_values = field.name == "values" and isinstance(part, Forest)
        known = _NETWORK_DTYPES if isinstance(part, Network) else _DTYPES
        want = "float64" if wide_values else known.get(field.name, "float32")
        _require(array.dtype == want, f"{type(part).__name__}.{field.name} must be {want}, not {array.dtype}")


def _check_derived(derived: Derived, columns: int) -> None:
    if isinstance(derived, Arithmetic):
        _require(derived.operator in OPERATORS, f"unknown operator {derived.operator!r}; known: {sorted(OPERATORS)}")
        inside = 0 <= derived.left < columns and 0 <= derived.right < columns
        _require(inside, f"{derived} reads a column outside of the {columns} encoded ones")
        return
    _check_dtypes(derived)
    _require(
        derived.source.shape == derived.threshold.shape == derived.equal.shape and derived.source.ndim == 1,
        "source, threshold and equal of a Lookup must have one shape (k,)",
    )
    _require(_within(derived.source, columns), f"a Lookup reads a column outside of the {columns} encoded ones")
    _require(derived.keys.shape == derived.values.shape, "keys and values of a Lookup must have one shape (n,)")
    _require(bool((derived.keys[1:] > derived.keys[:-1]).all()), "keys of a Lookup must be sorted and distinct")


def _check_forest(forest: Forest) -> None:
    nodes, wide = len(forest.feature), forest.columns + len(forest.derived)
    for name in ("threshold", "left", "right", "missing_left", "category", "words", "cover", "gain"):
        array = getattr(forest, name)
        _require(array is None or array.shape == (nodes,), f"Forest.{name} must have shape ({nodes},)")
    _require(forest.values.ndim == 2, "Forest.values must have shape (leaves, width)")
    _require(forest.roots.shape == forest.output.shape, "Forest.roots and output must have one shape (trees,)")
    _require(_within(forest.roots, nodes), "a root is no node")
    width = forest.values.shape[1]
    _require(_within(forest.output, forest.base.size - width + 1), "a tree adds beyond the last output")
    inner = forest.feature >= 0
    _require(bool((forest.feature < wide).all()), f"a node reads a column outside of the {wide} columns")
    _require(_within(forest.left[~inner], len(forest.values)), "a leaf names a value that is not there")
    _require(_within(np.append(forest.left[inner], forest.right[inner]), nodes), "a child is no node")
    sets = inner & (forest.category >= 0)
    ends = forest.category[sets].astype(np.int64) + forest.words[sets]
    _require(bool((ends <= forest.bits.size).all()), "a set of codes ends beyond the bits")


def _check_additive(additive: Additive) -> None:
    wide, outputs = additive.columns + len(additive.derived), additive.base.size
    for name in ("weight", "missing"):
        _require(getattr(additive, name).shape == (wide, outputs), f"Additive.{name} must have shape {(wide, outputs)}")
    for name in ("low", "high", "table_start"):
        _require(getattr(additive, name).shape == (wide,), f"Additive.{name} must have shape ({wide},)")
    _require(additive.table.ndim == 2 and additive.table.shape[1] == outputs, "Additive.table must be (codes, outputs)")


def _check_network(network: Network) -> None:
    numbers, wide = len(network.source), network.columns + len(network.derived)
    _require(network.activation in ACTIVATIONS, f"unknown activation {network.activation!r}; known: {ACTIVATIONS}")
    for name in ("center", "factor"):
        _require(getattr(network, name).shape == (numbers,), f"Network.{name} must have shape ({numbers},)")
    _require(network.frequency.shape == network.phase.shape, "frequency and phase of a Network must have one shape")
    _require(len(network.frequency) == numbers, "a Network has one row of frequencies per number")
    read = np.concatenate([network.source, network.flags, network.categories])
    _require(_within(read, wide), f"a Network reads a column outside of the {wide} columns")
    rows = {len(network.categories), len(network.start), len(network.width), len(network.levels)}
    _require(len(rows) == 1, "categories, start, width and levels of a Network must have one length")
    ends = network.start + network.width.astype(np.int64) * (network.levels + 1)
    _require(bool((ends <= len(network.table)).all()), "the rows of a category end beyond the table")
    units = numbers + len(network.flags) + network.frequency.size + int(network.width.sum())
    for weight, bias in zip(network.weights, network.biases, strict=True):
        _require(weight.dtype == bias.dtype == np.float32, "weights and biases of a Network must be float32")
        _require(weight.ndim == 2 and len(weight) == units, f"a layer of {len(weight)} inputs gets {units}")
        units = weight.shape[1]
        _require(bias.shape == (units,), "a layer has one bias per unit")
    _require(units == network.base.size, "the last layer must have one unit per output")


def _within(numbers: NDArray[np.int32], end: int) -> bool:
    return bool(((numbers >= 0) & (numbers < end)).all())
