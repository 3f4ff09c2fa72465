"""A graph under construction: nodes get names of their own, constants are initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Graph"]

KINDS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


class Graph:
    """Collects the nodes of an ONNX graph; every method returns the name of a tensor."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", domain: str = "", **attributes: Any) -> str:
        name = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, domain=domain, **attributes))
        return name

    def constant(self, array: NDArray[Any] | Sequence[Any]) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def numbers(self, values: Any, dtype: str = "float32") -> str:
        return self.constant(np.asarray(values, dtype=dtype))

    def cast(self, tensor: str, dtype: str) -> str:
        return self.add("Cast", tensor, to=KINDS[dtype])

    def columns(self, matrix: str, places: NDArray[np.integer[Any]]) -> str:
        """Return some columns of a matrix."""
        return self.add("Gather", matrix, self.numbers(places, "int64"), axis=1)
