"""Multilayer perceptrons as ONNX operators: layers in float32, what comes before and after them in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from automl.export.derived import to_index
from automl.export.graph import Graph

if TYPE_CHECKING:
    from automl_core import Network

__all__ = ["add_network"]

ACTIVATIONS = {"relu": "Relu", "mish": "Mish", "selu": "Selu"}  # of the standard's own constants, in float32


def add_network(graph: Graph, network: Network, features: str) -> str:
    """Add a network over the columns that it reads; returns its raw scores, (rows, outputs) of float32."""
    hidden = graph.add("Concat", *_inputs(graph, network, features), axis=1)
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if number:
            hidden = graph.add(ACTIVATIONS[network.activation], hidden)
        hidden = graph.add("Gemm", hidden, graph.numbers(weight), graph.numbers(bias))
    low, high, scale, base = (
        graph.numbers(value, "float64") for value in (network.low, network.high, network.scale, network.base)
    )
    bounded = graph.add("Clip", graph.cast(hidden, "float64"), low, high)
    return graph.cast(graph.add("Add", base, graph.add("Mul", scale, bounded)), "float32")


def _inputs(graph: Graph, network: Network, features: str) -> Iterator[str]:
    """Yield what the first layer reads, (rows, any) of float32 each: at least one, which may have no columns."""
    numbers = _scale(graph, network, features)
    yield graph.cast(numbers, "float32")
    if len(network.flags):
        yield graph.cast(graph.add("IsNaN", graph.columns(features, network.flags)), "float32")
    if network.frequency.size:
        apart = graph.add("Unsqueeze", numbers, graph.numbers([2], "int64"))
        turned = graph.add("Mul", apart, graph.numbers(network.frequency, "float64"))
        angle = graph.add("Add", turned, graph.numbers(network.phase, "float64"))
        yield graph.cast(graph.add("Flatten", graph.add("Cos", angle), axis=1), "float32")
    for column, start, width, levels in zip(
        network.categories, network.start, network.width, network.levels, strict=True
    ):
        if width:
            table = network.table[start : start + width * (levels + 1)].reshape(levels + 1, width)
            code = graph.add("Squeeze", graph.columns(features, np.array([column])), graph.numbers([1], "int64"))
            yield graph.add("Gather", graph.numbers(table), to_index(graph, code, int(levels)), axis=0)


def _scale(graph: Graph, network: Network, features: str) -> str:
    """Add the numbers; in float64, where no square of a float32 value overflows and no large centre costs digits."""
    values = graph.cast(graph.columns(features, network.source), "float64")
    moved = graph.add("Sub", values, graph.numbers(network.center, "float64"))
    scaled = graph.add("Mul", moved, graph.numbers(network.factor, "float64"))
    third = graph.add("Div", scaled, graph.numbers(3.0, "float64"))
    square = graph.add("Add", graph.numbers(1.0, "float64"), graph.add("Mul", third, third))
    squashed = graph.add("Div", scaled, graph.add("Sqrt", square))
    return graph.add("Where", graph.add("IsNaN", scaled), graph.numbers(0.0, "float64"), squashed)
