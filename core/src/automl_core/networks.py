"""A `Network` evaluated by numpy alone, and the scales of its numbers: what learners and predictors share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core.flat import Network

__all__ = ["evaluate", "forward", "read_inputs", "robust_scale", "squash"]

CHUNK = 4096  # rows at once, so that cosines and hidden units stay within some tens of MB


def evaluate(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what `automl_core.Model.predict` promises, for rows of encoded columns and, after them, those that the network derives."""
    starts = range(0, max(len(values), 1), CHUNK)
    return np.concatenate([forward(network, read_inputs(network, values[s : s + CHUNK])) for s in starts])


def forward(network: Network, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return the same from what `read_inputs` gave; hidden layers are of the type of `inputs`, float32 or float64."""
    hidden = inputs
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if number:
            hidden = _activate(network.activation, hidden)
        hidden = hidden @ weight + bias
    raw = network.base + network.scale * np.clip(hidden.astype(np.float64), network.low, network.high)
    if network.link == "identity":
        return np.asarray(raw[:, 0])
    if network.link == "sigmoid":
        positive = 0.5 * (1.0 + np.tanh(raw[:, 0] / 2.0))  # the logistic function, which so cannot overflow
        return np.column_stack([1.0 - positive, positive])
    parts = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def read_inputs(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the first layer reads, (rows, inputs), see `Network`; what is no code of a category counts as missing."""
    numbers = squash(values[:, network.source], network.center, network.factor)
    cosines = np.cos(numbers[:, :, None] * network.frequency + network.phase)
    parts = [numbers, np.isnan(values[:, network.flags]), cosines.reshape(len(values), network.frequency.size)]
    shapes = zip(network.categories, network.start, network.width, network.levels, strict=True)
    for column, start, width, levels in shapes:
        codes = values[:, column]
        known = (codes >= 0) & (codes < levels)
        row = np.where(known, codes, levels).astype(np.int64)
        parts.append(network.table[start + width * row[:, None] + np.arange(width)])
    return np.concatenate(parts, axis=1, dtype=np.float64)


def squash(
    numbers: NDArray[np.float32], center: NDArray[np.float64], factor: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scale numbers (rows, numbers) and clip them smoothly to (-3, 3); 0 where missing."""
    scaled = (numbers.astype(np.float64) - center) * factor
    return np.where(np.isnan(scaled), 0.0, scaled / np.sqrt(1.0 + (scaled / 3.0) ** 2))


def robust_scale(column: NDArray[np.float32]) -> tuple[float, float]:
    """Return a number's center and factor from its training rows (rows,).

    These are the median, and one over the distance of the quartiles, or over half the range where that is 0
    (Holzmueller et al. 2024, section 3); 0 and 0 where no value is known.
    """
    known = column[~np.isnan(column)].astype(np.float64)
    if not len(known):
        return 0.0, 0.0
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    distance = high - low if high > low else (known.max() - known.min()) / 2
    return float(median), float(1.0 / distance) if distance > 0 else 0.0


def _activate(name: str, value: NDArray[Any]) -> NDArray[Any]:
    if name == "relu":
        return np.asarray(np.maximum(value, 0.0))
    if name == "mish":
        return np.asarray(value * np.tanh(np.logaddexp(0.0, value)))
    return np.where(value > 0, 1.0507009873554805 * value, 1.7580993408473766 * np.expm1(np.minimum(value, 0.0)))
