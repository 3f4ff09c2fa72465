"""The fitted model: a `Network`, evaluated and stored with numpy alone."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Network
from automl_torch.inputs import squash

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NetworkModel", "dump", "load"]

CHUNK = 4096  # rows at once, so that cosines and hidden units stay within some tens of MB
SINGLE = ("columns", "low", "high", "scale")
WORDS = ("activation", "link")
ARRAYS = (
    "source", "center", "factor", "flags", "frequency", "phase", "categories", "start", "width", "levels", "table", "base"
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class NetworkModel:
    """A trained network; has no rounds."""

    network: Network
    rounds: int | None = None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        starts = range(0, max(len(values), 1), CHUNK)
        return np.concatenate([_evaluate(self.network, values[start : start + CHUNK]) for start in starts])

    def export(self) -> Network:
        return self.network


def _evaluate(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    hidden = _inputs(network, values)
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if number:
            hidden = _activate(network.activation, hidden)
        hidden = hidden @ weight.astype(np.float64) + bias
    raw = network.base + network.scale * np.clip(hidden, network.low, network.high)
    if network.link == "identity":
        return np.asarray(raw[:, 0])
    if network.link == "sigmoid":
        positive = 0.5 * (1.0 + np.tanh(raw[:, 0] / 2.0))
        return np.column_stack([1.0 - positive, positive])
    parts = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def _inputs(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    numbers = squash(values[:, network.source], network.center, network.factor)
    cosines = np.cos(numbers[:, :, None] * network.frequency + network.phase)
    parts = [numbers, np.isnan(values[:, network.flags]), cosines.reshape(len(values), network.frequency.size)]
    shapes = zip(network.categories, network.start, network.width, network.levels, strict=True)
    for column, start, width, levels in shapes:
        codes = values[:, column]
        row = np.where(np.isnan(codes), levels, codes).astype(np.int64)
        parts.append(network.table[start + width * row[:, None] + np.arange(width)])
    return np.concatenate(parts, axis=1, dtype=np.float64)


def _activate(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
    if name == "mish":
        return np.asarray(value * np.tanh(np.logaddexp(0.0, value)))
    return np.where(value > 0, 1.0507009873554805 * value, 1.7580993408473766 * np.expm1(np.minimum(value, 0.0)))


def dump(model: NetworkModel) -> bytes:
    """Return the arrays as an npz archive, which loads without pickle."""
    network = model.network
    arrays: dict[str, Any] = {name: getattr(network, name) for name in ARRAYS}
    arrays["single"] = np.array([getattr(network, name) for name in SINGLE], dtype=np.float64)
    arrays["words"] = np.array([getattr(network, name) for name in WORDS])
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        arrays[f"weight{number}"], arrays[f"bias{number}"] = weight, bias
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def load(data: bytes) -> NetworkModel:
    """Return the model that `dump` wrote.

    Raises:
        ValueError: the bytes are no such model, or its arrays contradict each other.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            single = dict(zip(SINGLE, stored["single"].tolist(), strict=True))
            words = dict(zip(WORDS, stored["words"].tolist(), strict=True))
            layers = sum(name.startswith("weight") for name in stored.files)
            network = Network(
                **arrays,
                **words,
                **{**single, "columns": int(single["columns"])},
                weights=tuple(stored[f"weight{number}"] for number in range(layers)),
                biases=tuple(stored[f"bias{number}"] for number in range(layers)),
            )
        model = NetworkModel(network)
        model.predict(np.full((1, network.columns), math.nan, dtype=np.float32))  # arrays of wrong shapes fail here
    except (AttributeError, EOFError, IndexError, KeyError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"these bytes are no model of the learner torch: {error}") from error
    return model
