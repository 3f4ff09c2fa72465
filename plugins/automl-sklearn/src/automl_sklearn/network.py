"""From encoded columns to what a perceptron reads, and the evaluation of an `automl_core.Network` on many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax

from automl_core import Column, Network
from automl_sklearn.design import fit_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["describe_inputs", "evaluate", "forward", "read"]

CHUNK = 4096  # rows at once, so that cosines and hidden units stay within some tens of MB


def describe_inputs(
    values: NDArray[np.float32],
    columns: Sequence[Column],
    *,
    cosines: int,
    sigma: float,
    levels: int,
    rng: np.random.Generator,
) -> Network:
    """Return a network without layers: the scales and tables of these training rows.

    Numbers are scaled robustly and clipped smoothly, with `cosines` random Fourier features of the frequency `sigma`
    beside each (Rahimi and Recht 2007); categories become indicators of the `levels` most frequent codes.
    """
    source = np.array([j for j, column in enumerate(columns) if not column.categorical], dtype=np.int32)
    scales = np.array([_robust(values[:, j]) for j in source]).reshape(len(source), 2)
    design = fit_design(values, columns, levels=levels, min_count=3, tails=0.0)
    tables, widths = [np.empty(0, dtype=np.float32)], []
    for first, end in zip(design.starts[:-1], design.starts[1:], strict=True):
        slots = design.slots[first:end]
        own = slots[slots >= 0]
        begin, width = (int(own.min()), int(np.ptp(own)) + 1) if len(own) else (0, 0)
        tables.append(np.equal.outer(slots - begin, np.arange(width)).astype(np.float32).ravel())
        widths.append(width)
    sizes = [len(table) for table in tables]
    return Network(
        columns=len(columns),
        source=source,
        center=scales[:, 0],
        factor=scales[:, 1],
        flags=source[np.isnan(values[:, source]).any(axis=0)],
        frequency=(sigma * rng.standard_normal((len(source), cosines))).astype(np.float32),
        phase=rng.uniform(0.0, 2 * np.pi, (len(source), cosines)).astype(np.float32),
        categories=design.categories.astype(np.int32),
        start=np.cumsum(sizes)[:-1].astype(np.int32),
        width=np.array(widths, dtype=np.int32),
        levels=(np.diff(design.starts) - 1).astype(np.int32),
        table=np.concatenate(tables),
        weights=(),
        biases=(),
        activation="relu",
        base=np.empty(0),
        link="identity",
    )


def read(network: Network, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the first layer reads, (rows, inputs)."""
    scaled = (values[:, network.source].astype(np.float64) - network.center) * network.factor
    numbers = np.where(np.isnan(scaled), 0.0, scaled / np.sqrt(1.0 + (scaled / 3.0) ** 2))
    cosines = np.cos(numbers[:, :, None] * network.frequency + network.phase)
    parts = [numbers, np.isnan(values[:, network.flags]), cosines.reshape(len(values), network.frequency.size)]
    shapes = zip(network.categories, network.start, network.width, network.levels, strict=True)
    for column, start, width, levels in shapes:
        codes = values[:, column]
        row = np.where(np.isnan(codes), levels, codes).astype(np.int64)
        parts.append(network.table[start + width * row[:, None] + np.arange(width)])
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


def evaluate(network: Network, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what `Model.predict` promises."""
    starts = range(0, max(len(values), 1), CHUNK)
    return np.concatenate([forward(network, read(network, values[s : s + CHUNK])) for s in starts])


def forward(network: Network, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what `Model.predict` promises, from what `read` gave."""
    hidden = inputs
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if number:
            hidden = np.maximum(hidden, 0.0)
        hidden = hidden @ weight + bias
    raw = network.base + network.scale * np.clip(hidden.astype(np.float64), network.low, network.high)
    if network.link == "identity":
        return raw[:, 0]
    if network.link == "sigmoid":
        positive = expit(raw[:, 0])
        return np.column_stack([1 - positive, positive])
    return np.asarray(softmax(raw, axis=1))


def _robust(column: NDArray[np.float32]) -> tuple[float, float]:
    """Return the median, and one over the distance of the quartiles, or of half the range where that is 0."""
    known = column[~np.isnan(column)].astype(np.float64)
    if not len(known):
        return 0.0, 0.0
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    distance = high - low if high > low else (known.max() - known.min()) / 2
    return float(median), float(1.0 / distance) if distance > 0 else 0.0
