"""The fitted model: a `Network`, evaluated and stored with numpy alone."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Network
from automl_core.networks import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NetworkModel", "dump", "load"]

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
        return evaluate(self.network, values)

    def export(self) -> Network:
        return self.network


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
