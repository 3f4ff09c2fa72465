"""Additive models as ONNX operators, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.export.derived import to_index
from automl.export.graph import Graph
from automl_core import Additive

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_additive"]


def add_additive(graph: Graph, additive: Additive, features: str) -> str:
    """Add an additive model over encoded and derived columns; returns its raw scores, (rows, outputs) of float32."""
    used = (additive.weight != 0).any(axis=1) | (additive.missing != 0).any(axis=1)
    numbers = np.flatnonzero((additive.table_start < 0) & used)
    terms = [graph.numbers(additive.base[None] + 0.0, "float64")]
    if len(numbers):
        terms.append(_add_numbers(graph, additive, features, numbers))
    coded = np.flatnonzero(additive.table_start >= 0)
    terms.extend(_add_codes(graph, additive, features, int(column)) for column in coded)
    total = terms[0]
    for term in terms[1:]:
        total = graph.add("Add", total, graph.add("Mul", term, graph.numbers(additive.scale, "float64")))
    if len(terms) == 1:  # one row of numbers for every row of the input
        zero = graph.add("ReduceSum", graph.cast(graph.add("IsNaN", features), "float64"), graph.numbers([1], "int64"))
        total = graph.add("Add", total, graph.add("Mul", zero, graph.numbers(0.0, "float64")))
    return graph.cast(total, "float32")


def _add_numbers(graph: Graph, additive: Additive, features: str, columns: NDArray[np.int64]) -> str:
    values = graph.cast(graph.columns(features, columns), "float64")
    missing = graph.add("IsNaN", values)
    low, high = (graph.numbers(limit[columns], "float64") for limit in (additive.low, additive.high))
    clipped = graph.add("Max", graph.add("Min", values, high), low)
    known = graph.add("Where", missing, graph.numbers(0.0, "float64"), clipped)
    added = graph.add("MatMul", known, graph.numbers(additive.weight[columns], "float64"))
    lacking = graph.add("MatMul", graph.cast(missing, "float64"), graph.numbers(additive.missing[columns], "float64"))
    return graph.add("Add", added, lacking)


def _add_codes(graph: Graph, additive: Additive, features: str, column: int) -> str:
    start = int(additive.table_start[column])
    table = np.concatenate([additive.table[start:], additive.missing[column][None]])
    place = graph.add("Squeeze", graph.columns(features, np.array([column])), graph.numbers([1], "int64"))
    return graph.add("Gather", graph.numbers(table, "float64"), to_index(graph, place, len(table) - 1), axis=0)
