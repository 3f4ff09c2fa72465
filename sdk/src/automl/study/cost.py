"""What one row costs, by estimate: of the compiled kernel, as measured on a core of 2.6 GHz with 1 MB of its own cache."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.kernel import COMPILED
from automl_core import Additive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Flat, Forest, Network

__all__ = ["CALL", "ROW_MICROSECONDS", "Cost", "cost_of_flat", "cost_of_network", "microseconds"]

ROW_MICROSECONDS = 12.0  # one row of sixteen columns before and after its trees
LEVEL_MICROSECONDS = 0.0024  # of a tree whose nodes are in the cache
SET_MICROSECONDS = 0.0045  # what a level takes more whose node is a set of categories
OUTPUT_MICROSECONDS = 0.0005  # for each output that a tree adds to
BITS_MICROSECONDS = 0.0065  # of a tree each of whose levels asks one question, whose answers are a leaf's number
BIT_MICROSECONDS = 0.0012  # of each of its questions
LINE_MICROSECONDS = 0.011  # 64 bytes of nodes or of values that are not in the cache
UPPER_LEVELS, UPPER_BYTES = 7, 512  # which every row reads most of
CACHED, FULL, LEAST_COLD = 3e6, 15e6, 0.1  # bytes that are in the cache, up to which none are, and what others push out
TOGETHER = 1.25  # what models take in one ensemble, of what they take alone: 20 members took 1.1 to 1.3 times that
NETWORK_MICROSECONDS = 2.5  # of any network
THOUSAND_MICROSECONDS = 0.13  # for each thousand of its weights
COSINE_MICROSECONDS = 0.03
UNIT_MICROSECONDS = {"relu": 0.0, "selu": 0.012, "mish": 0.045}
DERIVED_MICROSECONDS = 30.0  # one column that a network alone reads


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model adds to the cost of a row, which depends on the size of all models.

    Attributes:
        steps: microseconds where all is in the cache.
        upper, upper_bytes: lines of the upper levels of trees that a row reads, and bytes of these levels.
        lower, lower_bytes: lines further down, and bytes of all nodes and values.
    """

    steps: float
    upper: float = 0.0
    upper_bytes: float = 0.0
    lower: float = 0.0
    lower_bytes: float = 0.0


CALL = Cost(200.0)  # of a model without a flat form


def microseconds(costs: Iterable[Cost], times: float = 1.0) -> float:
    """Estimate what one row adds of models in one ensemble, each there so many times."""
    steps, upper, upper_bytes, lower, lower_bytes = (
        times * sum(column)
        for column in zip(*((c.steps, c.upper, c.upper_bytes, c.lower, c.lower_bytes) for c in costs), strict=True)
    )
    return float(TOGETHER * (steps + LINE_MICROSECONDS * (upper * _cold(upper_bytes) + lower * _cold(lower_bytes))))


def _cold(size: float) -> float:
    return min(max((size - CACHED) / (FULL - CACHED), LEAST_COLD), 1.0)


def cost_of_flat(flat: Flat) -> Cost:
    """Return the cost of a flat model: each level of a tree is a step, and may be a line that has to be loaded."""
    if isinstance(flat, Additive) or not len(flat.roots):
        return Cost(0.0)
    trees, width = len(flat.roots), flat.values.shape[1]
    if (depths := _questions(flat)) is not None:
        return Cost(
            steps=trees * (BITS_MICROSECONDS + width * OUTPUT_MICROSECONDS) + float(depths.sum()) * BIT_MICROSECONDS,
            lower=trees * (2 + width // 8),
            lower_bytes=8.0 * float((depths + width * 2.0**depths).sum()),
        )
    levels = math.log2(flat.feature.size / trees) + 1
    upper = min(levels, UPPER_LEVELS)
    splits = flat.category[flat.feature >= 0]
    sets = (levels - 1) * float(np.mean(splits >= 0)) if splits.size else 0.0
    return Cost(
        steps=trees * (levels * LEVEL_MICROSECONDS + sets * SET_MICROSECONDS + width * OUTPUT_MICROSECONDS),
        upper=trees * (upper + 1),
        upper_bytes=trees * UPPER_BYTES,
        lower=trees * (levels - upper + width // 8),
        lower_bytes=8.0 * (flat.feature.size + flat.values.size),
    )


def _questions(forest: Forest) -> NDArray[np.int64] | None:
    """Return how many questions each tree asks where all nodes of a level ask the same; None where some do not."""
    counts, alive, level = np.zeros(len(forest.roots), np.int64), np.arange(len(forest.roots)), forest.roots[:, None]
    while level.size <= forest.feature.size:
        inner = forest.feature[level] >= 0
        if (inner != inner[:, :1]).any():
            return None
        alive, level = alive[inner[:, 0]], level[inner[:, 0]]
        if not alive.size:
            return counts
        counts[alive] += 1
        for asked in (forest.feature, forest.threshold, forest.category, forest.missing_left):
            if (asked[level] != asked[level[:, :1]]).any():
                return None
        level = np.concatenate([forest.left[level], forest.right[level]], axis=1)
    return None


def cost_of_network(network: Network, *, derived: int) -> Cost:
    """Return the cost of a network that is called beside the trees, with so many derived columns of its own."""
    if not COMPILED:
        return CALL
    weights = sum(weight.size for weight in network.weights) / 1000
    units = sum(len(bias) for bias in network.biases[:-1])
    return Cost(
        NETWORK_MICROSECONDS
        + THOUSAND_MICROSECONDS * weights
        + COSINE_MICROSECONDS * network.frequency.size
        + UNIT_MICROSECONDS[network.activation] * units
        + DERIVED_MICROSECONDS * derived
    )
