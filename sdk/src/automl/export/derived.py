"""Derived columns as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from automl.export.graph import Graph
from automl.predictor.derived import derive
from automl_core import Arithmetic, Column, DataError, Derived, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_derived", "to_index"]

MOST_CELLS = 1 << 20
OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div"}


def add_derived(graph: Graph, item: Derived, features: str, columns: Sequence[Column]) -> str:
    """Add one derived column, (rows, 1) of float32.

    Raises:
        DataError: the table of a lookup would have more than a million cells.
    """
    if isinstance(item, Arithmetic):
        left, right = (graph.columns(features, np.array([place])) for place in (item.left, item.right))
        result = graph.add(OPERATORS[item.operator], left, right)
        odd = graph.add("Or", graph.add("IsNaN", result), graph.add("IsInf", result))
        return graph.add("Where", odd, graph.numbers(np.nan), result)
    return _add_lookup(graph, item, features, columns)


def to_index(graph: Graph, column: str, codes: int) -> str:
    """Return codes as int64, with `codes` for missing ones and those out of range."""
    least = graph.add("GreaterOrEqual", column, graph.numbers(0.0))
    known = graph.add("And", least, graph.add("Less", column, graph.numbers(codes)))
    return graph.cast(graph.add("Where", known, column, graph.numbers(codes)), "int64")


def _add_lookup(graph: Graph, item: Lookup, features: str, columns: Sequence[Column]) -> str:
    sizes = [_size(item, digit, columns) for digit in range(len(item.source))]
    if np.prod([float(size) for size in sizes]) > MOST_CELLS:
        names = " x ".join(columns[source].name for source in item.source)
        raise DataError(f"the statistics of {names} are too many for an ONNX table: fit without crossed columns.")
    index = graph.numbers([[0]], "int64")
    for digit, size in enumerate(sizes):
        column = graph.columns(features, item.source[digit : digit + 1])
        scaled = graph.add("Mul", index, graph.numbers(size, "int64"))
        index = graph.add("Add", scaled, _digit(graph, item, digit, column, size))
    return graph.add("Gather", graph.constant(_table(item, sizes)), index, axis=0)


def _size(item: Lookup, digit: int, columns: Sequence[Column]) -> int:
    column = columns[item.source[digit]]
    return column.categories + 1 if np.isnan(item.threshold[digit]) else 2


def _digit(graph: Graph, item: Lookup, digit: int, column: str, size: int) -> str:
    threshold = item.threshold[digit]
    if np.isnan(threshold):
        return to_index(graph, column, size - 1)
    asked = graph.add("Equal" if item.equal[digit] else "Greater", column, graph.numbers(threshold))
    return graph.cast(asked, "int64")


def _table(item: Lookup, sizes: Sequence[int]) -> NDArray[np.float32]:
    """Return the value of every combination of digits, by looking each up."""
    combinations = np.array(list(product(*(range(size) for size in sizes))), dtype=np.float32).reshape(-1, len(sizes))
    # A column may be asked twice: here each digit has a column of its own.
    rows = np.full(combinations.shape, np.nan, dtype=np.float32)
    for digit, size in enumerate(sizes):
        threshold, chosen = item.threshold[digit], combinations[:, digit]
        if np.isnan(threshold):
            rows[:, digit] = np.where(chosen < size - 1, chosen, np.nan)
        else:
            yes = threshold if item.equal[digit] else np.nextafter(threshold, np.float32(np.inf))
            rows[:, digit] = np.where(chosen > 0, yes, np.nan)
    apart = Lookup(
        np.arange(len(sizes), dtype=np.int32), item.threshold, item.equal, item.keys, item.values, item.default
    )
    return derive(apart, rows)
