"""Whether the arrays of a flat model are what `automl_core.flat` says: what passes cannot make the kernel stray."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor.compiled import kernel
from automl_core import Additive, Arithmetic, DataError, Derived, Flat, Forest, Lookup
from automl_core.flat import LINKS, OPERATORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DEEPEST", "DTYPES", "check_derived", "check_flat", "find_fault"]

DEEPEST = 4096  # levels of a tree

DTYPES: dict[type[Any], dict[str, str]] = {
    Lookup: {"source": "int32", "threshold": "float32", "equal": "bool", "keys": "uint64", "values": "float32"},
    Forest: {
        "feature": "int32", "threshold": "float32", "left": "int32", "right": "int32", "missing_left": "bool",
        "category": "int32", "words": "int32", "bits": "uint32", "values": "float64", "roots": "int32",
        "output": "int32", "base": "float64", "cover": "float32", "gain": "float32",
    },
    Additive: {
        "weight": "float64", "missing": "float64", "low": "float64", "high": "float64", "table": "float64",
        "table_start": "int32", "base": "float64",
    },
}  # fmt: skip


def check_flat(flat: Flat, columns: int) -> None:
    """Raise DataError where a flat model over `columns` encoded columns contradicts its own description."""
    _require(isinstance(flat, Forest | Additive), f"{type(flat).__name__} is no kind of flat model")
    _require(flat.columns == columns, f"it reads {flat.columns} columns instead of {columns}")
    _check_arrays(flat)
    _require(flat.link in LINKS, f"the link {flat.link!r} is unknown")
    _require(flat.base.ndim == 1 and len(flat.base) > 0, "base has a wrong shape")
    single = flat.link in ("identity", "sigmoid", "exp")
    _require(not single or len(flat.base) == 1, f"the link {flat.link!r} has {len(flat.base)} outputs")
    _require(bool(np.isfinite(flat.base).all()) and math.isfinite(flat.scale), "base or scale is not finite")
    for item in flat.derived:
        check_derived(item, columns)
    if isinstance(flat, Forest):
        _check_forest(flat)
    else:
        _check_additive(flat)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(f"a part of the model is damaged: {message}. Save the model again from where it was fitted.")


def _check_arrays(item: Flat | Lookup) -> None:
    wanted = DTYPES[type(item)]
    for field in fields(item):
        array = getattr(item, field.name)
        if field.name in wanted and not (array is None and field.name in ("cover", "gain")):
            right = isinstance(array, np.ndarray) and array.dtype == wanted[field.name]
            _require(right, f"{type(item).__name__}.{field.name} is not of type {wanted[field.name]}")


def check_derived(item: Derived, columns: int) -> None:
    """Raise DataError where a derived column contradicts its own description."""
    if isinstance(item, Arithmetic):
        _require(item.operator in OPERATORS, f"the operator {item.operator!r} is unknown")
        _require(0 <= item.left < columns and 0 <= item.right < columns, "arithmetic reads a column that is not there")
        return
    _require(isinstance(item, Lookup), "a derived column is of an unknown kind")
    _check_arrays(item)
    shapes = {item.source.shape, item.threshold.shape, item.equal.shape}
    _require(shapes == {(item.source.size,)}, "a lookup's digits differ in shape")
    _require(_within(item.source, columns), "a lookup reads a column that is not there")
    _require(item.keys.ndim == 1 and item.keys.shape == item.values.shape, "a lookup's keys and values differ in shape")
    _require(bool((item.keys[1:] > item.keys[:-1]).all()), "a lookup's keys are not sorted")
    small = not math.isfinite(item.default) or abs(item.default) <= float(np.finfo(np.float32).max)
    _require(small, "a lookup's default is no float32")


def _check_forest(forest: Forest) -> None:
    nodes, wide, outputs = forest.feature.size, forest.columns + len(forest.derived), len(forest.base)
    for name in ("feature", "threshold", "left", "right", "missing_left", "category", "words", "cover", "gain"):
        array = getattr(forest, name)
        _require(array is None or array.shape == (nodes,), f"Forest.{name} has a wrong shape")
    _require(forest.bits.ndim == 1, "Forest.bits has a wrong shape")
    _require(forest.values.ndim == 2 and forest.values.shape[1] > 0, "Forest.values has a wrong shape")
    _require(bool(np.isfinite(forest.values).all()), "a leaf is not finite")
    _require(forest.roots.ndim == 1 and forest.roots.shape == forest.output.shape, "Forest.roots has a wrong shape")
    width = forest.values.shape[1]
    _require(width <= outputs and _within(forest.output, outputs - width + 1), "a tree adds to outputs beyond the last")
    fault = _find_fault(forest, wide)
    _require(fault is None, f"{fault}")
    _check_sets(forest, (forest.feature >= 0) & (forest.category >= 0))
    for name in ("cover", "gain"):
        array = getattr(forest, name)
        finite = array is None or not array.size or bool(array.min() >= 0 and array.max() < np.inf)  # not so for NaN
        _require(finite, f"Forest.{name} is negative or not finite")


def _find_fault(forest: Forest, wide: int) -> str | None:
    given = (forest.feature, forest.left, forest.right, forest.roots)
    if kernel is not None:
        fault: str | None = kernel.find_fault(wide, len(forest.values), tuple(map(np.ascontiguousarray, given)))
        return fault
    return find_fault(wide, len(forest.values), given)


def find_fault(wide: int, values: int, arrays: tuple[NDArray[np.int32], ...]) -> str | None:
    """Return what is wrong with the nodes of a forest, as the kernel does.

    Args:
        wide: columns. values: of leaves. arrays: feature, left, right, roots.
    """
    feature, left, right, roots = arrays
    inner, nodes = feature >= 0, feature.size
    if not _within(roots, nodes):
        return "a root is no node"
    if nodes and int(feature.max()) >= wide:
        return "a node reads a column that is not there"
    if not _within(left[~inner], values):
        return "a leaf has no value"
    # One parent each and none for a root: then what is reached from the roots has no cycle.
    named = [left[inner], right[inner], roots]
    reached = np.zeros(nodes, dtype=np.bool_)
    for numbers in named:
        if not _within(numbers, nodes):
            return "a child is no node"
        reached[numbers] = True
    return None if np.count_nonzero(reached) == sum(map(len, named)) else "a node has two parents"


def _check_sets(forest: Forest, asks: NDArray[np.bool_]) -> None:
    asking = np.flatnonzero(asks)
    start, words = forest.category[asking].astype(np.int64), forest.words[asking].astype(np.int64)
    _require(bool((words >= 0).all()) and bool((start + words <= forest.bits.size).all()), "a set ends beyond its bits")
    # Sets are apart or the same: small files cannot describe large ones by laying them over each other.
    # With the index, as `unique` without one imports numpy.ma.
    distinct, _ = np.unique(start << 32 | words, return_index=True)
    _require(int((distinct & 0xFFFFFFFF).sum()) <= 4 * forest.bits.size, "its sets overlap")


def _check_additive(additive: Additive) -> None:
    wide, outputs = additive.columns + len(additive.derived), len(additive.base)
    for name in ("weight", "missing"):
        array = getattr(additive, name)
        _require(array.shape == (wide, outputs), f"Additive.{name} has a wrong shape")
        _require(bool(np.isfinite(array).all()), f"Additive.{name} is not finite")
    for name in ("low", "high", "table_start"):
        _require(getattr(additive, name).shape == (wide,), f"Additive.{name} has a wrong shape")
    _require(bool((additive.low <= additive.high).all()), "a range of an additive model is empty")
    _require(additive.table.ndim == 2 and additive.table.shape[1] == outputs, "Additive.table has a wrong shape")
    _require(bool(np.isfinite(additive.table).all()), "Additive.table is not finite")
    _require(bool((additive.table_start <= len(additive.table)).all()), "a column's table is not there")


def _within(numbers: NDArray[np.int32], end: int) -> bool:
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < end)
