"""Multilayer perceptrons beside the fused program, by the kernel or by numpy; see `automl_core.Network`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor.kernel import Run, load_network
from automl_core import DataError, Network
from automl_core.flat import ACTIVATIONS
from automl_core.networks import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["NetworkModel", "network_from_arrays", "network_to_arrays"]

LINKS = ("identity", "sigmoid", "softmax")
ARRAYS = {
    "source": "int32", "center": "float64", "factor": "float64", "flags": "int32", "frequency": "float32",
    "phase": "float32", "categories": "int32", "start": "int32", "width": "int32", "levels": "int32",
    "table": "float32", "base": "float64",
}  # fmt: skip
SINGLE = ("columns", "low", "high", "scale")


@dataclass(slots=True, eq=False)
class NetworkModel:
    """A network over the columns that its member keeps and derives; has no rounds.

    Raises:
        DataError: its arrays contradict each other.
    """

    network: Network
    rounds: int | None = None
    _run: Run | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self.network)
        self._run = load_network(self.network)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        if self._run is None:
            return evaluate(self.network, values)
        outputs = 2 if self.network.link == "sigmoid" else len(self.network.base)
        out = np.empty(len(values) if self.network.link == "identity" else (len(values), outputs))
        self._run(np.ascontiguousarray(values), out)
        return out

    def export(self) -> Network:
        return self.network


# ---- to and from arrays


def network_to_arrays(network: Network) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what JSON holds of a network, and its arrays; the bounds are an array, as JSON has no infinity."""
    head = {"activation": network.activation, "link": network.link, "layers": len(network.weights)}
    arrays = {name: getattr(network, name) for name in ARRAYS}
    arrays["single"] = np.array([getattr(network, name) for name in SINGLE], dtype=np.float64)
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays[f"weight{number}"], arrays[f"bias{number}"] = weight, bias
    return head, arrays


def network_from_arrays(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, columns: int) -> Network:
    """Return what `network_to_arrays` wrote, which `NetworkModel` checks.

    Args:
        columns: how many it is given.

    Raises:
        DataError: it reads another number of columns. KeyError, TypeError, ValueError: they are missing, or something else.
    """
    single: dict[str, Any] = dict(zip(SINGLE, arrays["single"].astype(np.float64).tolist(), strict=True))
    layers = range(int(head["layers"]))
    network = Network(
        **single | {"columns": int(single["columns"])} | {name: arrays[name] for name in ARRAYS},
        activation=str(head["activation"]),
        link=str(head["link"]),
        weights=tuple(arrays[f"weight{number}"] for number in layers),
        biases=tuple(arrays[f"bias{number}"] for number in layers),
    )
    _require(network.columns == columns, f"it reads {network.columns} columns instead of {columns}")
    return network


def _check(network: Network) -> None:
    _require(network.activation in ACTIVATIONS and network.link in LINKS, "its activation or link is unknown")
    for name, dtype in ARRAYS.items():
        array = getattr(network, name)
        _require(array.dtype == dtype, f"{name} is of type {array.dtype}")
        _require(array.ndim == (2 if name in ("frequency", "phase") else 1), f"{name} has a wrong shape")
        _require(array.dtype.kind != "f" or bool(np.isfinite(array).all()), f"{name} is not finite")
    numbers = len(network.source)
    _require(len(network.center) == len(network.factor) == len(network.frequency) == numbers, "numbers differ in count")
    _require(network.frequency.shape == network.phase.shape, "frequency and phase differ in shape")
    read = np.concatenate([network.source, network.flags, network.categories])
    _require(bool(((read >= 0) & (read < network.columns)).all()), "it reads a column that is not there")
    rows = {len(network.categories), len(network.start), len(network.width), len(network.levels)}
    _require(len(rows) == 1, "categories differ in count")
    ends = network.start + network.width.astype(np.int64) * (network.levels.astype(np.int64) + 1)
    inside = (network.start >= 0) & (network.width >= 0) & (network.levels >= 0) & (ends <= len(network.table))
    _require(bool(inside.all()), "a category ends beyond the table")
    _check_layers(network, numbers + len(network.flags) + network.frequency.size + int(network.width.sum()))


def _check_layers(network: Network, units: int) -> None:
    for weight, bias in zip(network.weights, network.biases, strict=True):
        _require(weight.dtype == bias.dtype == np.float32, "a layer is not float32")
        right = weight.ndim == 2 and weight.shape[0] == units and bias.shape == weight.shape[1:]
        _require(right, "its layers do not fit together")
        _require(bool(np.isfinite(weight).all() and np.isfinite(bias).all()), "a layer is not finite")
        units = weight.shape[1]
    _require(len(network.weights) > 0 and units == len(network.base), "the last layer does not fit the outputs")
    _require(network.link == "softmax" or units == 1, f"the link {network.link!r} has {units} outputs")
    bounded = network.low <= network.high and network.low < math.inf and network.high > -math.inf
    _require(bounded and math.isfinite(network.scale), "its bounds or scale are wrong")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(f"a network of the model is damaged: {message}. Save the model again from where it was fitted.")
