"""What columns add to the raw scores of a network: integrated gradients."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from automl.explain.links import spread_rest
from automl.predictor.network import NetworkModel
from automl_core.networks import read_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor import Opaque
    from automl_core import Network

    Floats = NDArray[np.float64]

__all__ = ["explain_network", "network_of", "network_spread", "players"]

CELLS = 1 << 22  # numbers in memory at once
NODES = 64  # of Gauss-Legendre quadrature
DRAWN, DRAWN_NODES = 64, 8  # rows and nodes of `network_spread`
QUARTILES = 1.3489795003921634  # their distance in the standard normal distribution
LARGEST = np.finfo(np.float32).max
SELU, SELU_BELOW = 1.0507009873554805, 1.7580993408473766


def network_of(member: Opaque) -> Network | None:
    """Return the network that a member evaluates, or None where it is something else."""
    return member.model.network if isinstance(member.model, NetworkModel) else None


def players(member: Opaque, columns: int) -> NDArray[np.int_]:
    """Return which of the encoded columns, and of the derived ones after them, each column of a member is."""
    return np.append(member.keep, np.arange(columns, columns + len(member.derived)))


def explain_network(member: Opaque, network: Network, values: NDArray[np.float32]) -> Floats:
    """Return what each column adds to each row's raw scores.

    Integrated gradients (Sundararajan, Taly, Yan 2017) on the straight line, in the space of what the first layer reads,
    from the encoded row of which every value is missing. A number's scaled value, flag and cosines count for its column,
    as does a category's row of its table.

    Args:
        network: what `member` evaluates. values: float32 (rows, columns), encoded rows.

    Returns:
        float64: (rows, columns + derived + 1, outputs); last the raw scores of the row without any value. The sum over
        axis 1 is the raw score.
    """
    columns, derived = values.shape[1], len(member.derived)
    owners = players(member, columns)[_owners(network)]
    start = read_inputs(network, member.read(np.full((1, columns), np.nan, dtype=np.float32)))
    said = np.empty((len(values), columns + derived + 1, len(network.base)))
    step = _step(network, NODES)
    for first in range(0, len(values), step):
        rows = slice(first, first + step)
        inputs = read_inputs(network, member.read(values[rows]))
        said[rows] = _explain(network, start, inputs, owners, columns + derived, NODES)
    return said


def network_spread(network: Network) -> Floats:
    """Return by how much what each column adds to the raw scores differs among rows, float64 (columns,) as the network's.

    The standard deviation over rows that are drawn, as a model holds none: numbers around the median with the quartiles'
    distance of the training rows, a tenth missing where there is a flag; codes c with a chance in proportion to 1 / (c + 1),
    as they come in falling order of frequency.
    """
    start = read_inputs(network, np.full((1, network.columns), np.nan, dtype=np.float32))
    inputs, step = read_inputs(network, _draw(network)), _step(network, DRAWN_NODES)
    blocks = [
        _explain(network, start, inputs[first : first + step], _owners(network), network.columns, DRAWN_NODES)
        for first in range(0, DRAWN, step)
    ]
    return np.asarray(np.concatenate(blocks)[:, :-1].std(axis=0).sum(axis=1))


def _owners(network: Network) -> NDArray[np.int_]:
    """Return the network's column behind each input of the first layer."""
    cosines = np.repeat(network.source, network.frequency.shape[1])
    owners = [network.source, network.flags, cosines, np.repeat(network.categories, network.width)]
    return np.concatenate(owners, dtype=np.int_)


def _draw(network: Network) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    drawn = np.full((DRAWN, network.columns), np.nan)
    distance = np.divide(1.0, network.factor, out=np.zeros_like(network.factor), where=network.factor != 0)
    normal = rng.standard_normal((DRAWN, len(network.source))) / QUARTILES
    drawn[:, network.source] = network.center + normal * distance
    for column, levels in zip(network.categories, network.levels, strict=True):
        chance = 1.0 / np.arange(1, max(levels, 1) + 1)
        drawn[:, column] = rng.choice(len(chance), DRAWN, p=chance / chance.sum())
    flagged = drawn[:, network.flags]
    drawn[:, network.flags] = np.where(rng.random(flagged.shape) < 0.1, np.nan, flagged)
    return np.asarray(np.clip(drawn, -LARGEST, LARGEST), dtype=np.float32)


def _step(network: Network, nodes: int) -> int:
    widest: int = max(size for weight in network.weights for size in weight.shape)
    return max(1, CELLS // (nodes * len(network.base) * widest))


def _explain(
    network: Network, start: Floats, inputs: Floats, owners: NDArray[np.int_], columns: int, nodes: int
) -> Floats:
    """Return contributions of `columns` to raw scores on the lines from one row of inputs to others; last the start's."""
    layers = [
        (w.astype(np.float64), b.astype(np.float64)) for w, b in zip(network.weights, network.biases, strict=True)
    ]
    (weight, bias), later = layers[0], layers[1:]
    low, high, way = start @ weight + bias, inputs @ weight + bias, inputs - start
    slope = _mean_slope(network, later, low, high, nodes) @ weight.T
    added = _sum_by(owners, columns, slope * way[:, None])
    base, end = (_scores(network, _forward(network, later, reached)[0]) for reached in (low, high))
    moved = _sum_by(owners, columns, (np.abs(way) * np.abs(weight).sum(axis=1))[:, None])
    spread_rest(added, end - base, otherwise=moved)
    return np.concatenate([added, np.broadcast_to(base, (len(inputs), 1, base.shape[1]))], axis=1)


@lru_cache
def _quadrature(nodes: int) -> tuple[Floats, Floats]:
    """Return points and weights on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return (points + 1) / 2, weights / 2


def _mean_slope(network: Network, later: list[tuple[Floats, Floats]], low: Floats, high: Floats, nodes: int) -> Floats:
    """Return the mean, over lines of the first layer's values, of the scores' slopes by them: (rows, outputs, units)."""
    points, weights = _quadrature(nodes)
    rows, units = high.shape
    reached = low + points[:, None, None] * (high - low)
    last, slopes = _forward(network, later, reached.reshape(-1, units))
    inside = (last >= network.low) & (last <= network.high)
    back = network.scale * inside[:, :, None] * np.eye(last.shape[1])
    for (weight, _), slope in zip(reversed(later), reversed(slopes), strict=True):
        back = (back.reshape(-1, len(weight.T)) @ weight.T).reshape(len(last), -1, len(weight)) * slope[:, None]
    return np.asarray(np.tensordot(weights, back.reshape(nodes, rows, -1, units), axes=1))


def _forward(network: Network, later: list[tuple[Floats, Floats]], reached: Floats) -> tuple[Floats, list[Floats]]:
    """Return the last layer's values from the first one's, and the slopes of the activations on the way."""
    slopes = []
    for weight, bias in later:
        value, slope = _activate(network.activation, reached)
        slopes.append(slope)
        reached = value @ weight + bias
    return reached, slopes


def _activate(name: str, value: Floats) -> tuple[Floats, Floats]:
    """Return the activation and its slope."""
    if name == "mish":
        gate = np.tanh(np.logaddexp(0.0, value))
        return value * gate, gate + value * (1.0 - gate**2) * (0.5 + 0.5 * np.tanh(value / 2.0))
    if name == "relu":
        return np.maximum(value, 0.0), (value > 0).astype(np.float64)
    below = SELU_BELOW * np.exp(np.minimum(value, 0.0))
    return np.where(value > 0, SELU * value, below - SELU_BELOW), np.where(value > 0, SELU, below)


def _scores(network: Network, last: Floats) -> Floats:
    return np.asarray(network.base + network.scale * np.clip(last, network.low, network.high))


def _sum_by(owners: NDArray[np.int_], columns: int, added: Floats) -> Floats:
    """Return (rows, columns, outputs) of (rows, outputs, inputs)."""
    total = np.zeros((columns, *added.shape[:2]))
    np.add.at(total, owners, added.transpose(2, 0, 1))
    return total.transpose(1, 0, 2)
