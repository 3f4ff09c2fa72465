"""The whole ensemble as one ONNX model."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact.place import write_bytes
from automl.predictor.network import NetworkModel
from automl_core import BINARY, REGRESSION, Additive, Column, DataError, Flat

if TYPE_CHECKING:
    from automl.export.graph import Graph
    from automl.model import Model
    from automl.predictor import Opaque

__all__ = ["export_onnx"]

OPSETS = {"": 18, "ai.onnx.ml": 3}
IR_VERSION = 9


def export_onnx(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model as an ONNX file, for runtimes other than this one.

    The encoder stays here: the input "features" is what `model.encoder.encode` returns, float32 (rows, columns), and the
    metadata "columns" lists the columns' names and counts of categories. Outputs are "prediction", float32 (rows,), for
    regression, else "probabilities", float32 (rows, classes), and "label", (rows,) of the labels' type. Probabilities
    agree with the model's within 1e-5, numbers within 1e-5 of the largest.

    Raises:
        DataError: onnx is not installed, or a member has no form in ONNX: one that is neither flat nor a network, or
            statistics of crossed columns with more than a million combinations.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise DataError("exporting to ONNX needs the package onnx: pip install 'automl-sdk[onnx]'.") from error
    from automl.export.graph import Graph

    graph = Graph()
    classes = model.predictor.classes
    mixed = _add_ensemble(graph, model)
    if model.task == REGRESSION:
        graph.add("Reshape", mixed, graph.numbers([-1], "int64"), output="prediction")
        outputs = [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows"])]
    else:
        graph.add("Identity", mixed, output="probabilities")
        outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])]
        outputs.append(helper.make_tensor_value_info("label", _add_label(graph, model), ["rows"]))
    inputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", model.predictor.columns])]
    whole = helper.make_model(
        helper.make_graph(graph.nodes, "automl", inputs, outputs, graph.initializers),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="automl",
    )
    names = [{"name": column.name, "categories": column.categories} for column in model.encoder.columns]
    helper.set_model_props(whole, {"columns": json.dumps(names), "target": model.target, "task": model.task})
    onnx.checker.check_model(whole)
    write_bytes(path, whole.SerializeToString())


def _add_ensemble(graph: Graph, model: Model) -> str:
    """Add all members; returns what is predicted, (rows, 1 or classes) of float32."""
    predictor, columns = model.predictor, model.encoder.columns
    said = [(_add_flat(graph, part.flat, columns), part.weight) for part in predictor.parts]
    said += [(_add_opaque(graph, member, columns), member.weight) for member in predictor.opaque]
    mixed = graph.add("Sum", *(graph.add("Mul", prediction, graph.numbers(weight)) for prediction, weight in said))
    if predictor.classes and predictor.temperature != 1.0:
        logs = graph.add("Log", graph.add("Max", mixed, graph.numbers(1e-15)))
        mixed = graph.add("Softmax", graph.add("Div", logs, graph.numbers(predictor.temperature)), axis=1)
    return mixed


def _add_flat(graph: Graph, flat: Flat, columns: Sequence[Column]) -> str:
    from automl.export.additive import add_additive
    from automl.export.derived import add_derived
    from automl.export.trees import add_forest

    derived = [add_derived(graph, item, "features", columns) for item in flat.derived]
    features = graph.add("Concat", "features", *derived, axis=1) if derived else "features"
    if isinstance(flat, Additive):
        raw = add_additive(graph, flat, features)
    else:
        raw = add_forest(graph, flat, features, columns)
    return _add_link(graph, flat.link, raw)


def _add_opaque(graph: Graph, member: Opaque, columns: Sequence[Column]) -> str:
    from automl.export.derived import add_derived
    from automl.export.network import add_network

    if not isinstance(member.model, NetworkModel):
        raise DataError(
            f"the member {member.name!r} is neither flat nor a network, so this ensemble cannot be written as ONNX."
        )
    network = member.model.network
    derived = [add_derived(graph, item, "features", columns) for item in member.derived]
    features = graph.add("Concat", graph.columns("features", member.keep), *derived, axis=1)
    return _add_link(graph, network.link, add_network(graph, network, features))


def _add_link(graph: Graph, link: str, raw: str) -> str:
    if link == "identity":
        return raw
    if link == "exp":
        return graph.add("Exp", raw)
    if link == "sigmoid":
        first = graph.add("Sigmoid", raw)
        return graph.add("Concat", graph.add("Sigmoid", graph.add("Neg", raw)), first, axis=1)
    if link == "softmax":
        return graph.add("Softmax", raw, axis=1)
    shares = graph.add("Relu", raw)
    return graph.add("Div", shares, graph.add("ReduceSum", shares, graph.numbers([1], "int64"), keepdims=1))


def _add_label(graph: Graph, model: Model) -> Any:
    """Add the output "label" and return its type."""
    from onnx import TensorProto

    kinds = {"i": TensorProto.INT64, "b": TensorProto.BOOL, "f": TensorProto.DOUBLE}
    kind = model.classes_.dtype.kind
    if kind in kinds:
        labels, dtype = graph.constant(model.classes_), kinds[kind]
    else:
        labels, dtype = (
            graph.constant(np.array([str(label) for label in model.classes_], dtype=object)),
            TensorProto.STRING,
        )
    if model.task == BINARY:
        second = graph.add("Gather", "probabilities", graph.numbers(1, "int64"), axis=1)
        code = graph.cast(graph.add("GreaterOrEqual", second, graph.numbers(model.threshold)), "int64")
    else:
        code = graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
    graph.add("Gather", labels, code, output="label", axis=0)
    return dtype
