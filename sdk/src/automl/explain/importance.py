"""How much the model as a whole relies on each column: cheap, from what training left in the trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from automl.explain.network import network_of, network_spread, players
from automl.explain.sources import spread_derived
from automl.predictor.layout import Layout, lay_out, number_leaves
from automl_core import Additive, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor import Predictor

__all__ = ["importance"]


def importance(predictor: Predictor) -> NDArray[np.float64]:
    """Return each encoded column's share, float64 (columns,); they sum to 1, or are 0 where no column is read.

    Each member counts by its weight. A forest's columns count by the gain of their splits; where that is unknown, by how
    much the splits part the leaves' values, weighted by the training rows; where that is unknown too, by their number.
    An additive model's columns count by the range of what they add, a network's by how much what they add differs among
    rows that are drawn by the scales of its inputs. Derived columns count for their sources in equal parts. Other members
    are left out.
    """
    total = np.zeros(predictor.columns)
    for weight, own in _of_members(predictor):
        if own.sum() > 0:
            total += weight * own / own.sum()
    return total / total.sum() if total.sum() > 0 else total


def _of_members(predictor: Predictor) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Yield the weight of each member that tells, and numbers per encoded column in units of its own."""
    for part in predictor.parts:
        wide = _of_forest(part.flat) if isinstance(part.flat, Forest) else _of_additive(part.flat)
        yield part.weight, spread_derived(part.flat.derived, wide)
    for member in predictor.opaque:
        if (network := network_of(member)) is not None:
            spread = network_spread(network)
            wide = np.zeros(predictor.columns + len(member.derived))
            np.add.at(wide, players(member, predictor.columns), spread)
            yield member.weight, spread_derived(member.derived, wide)


def _of_forest(forest: Forest) -> NDArray[np.float64]:
    layout = lay_out(forest)
    inner = layout.delta > 0
    asking = layout.node[inner]
    if forest.gain is not None:
        gain = forest.gain[asking].astype(np.float64)
    elif forest.cover is not None:
        gain = _parting(forest, forest.cover, layout)[inner]
    else:
        gain = np.ones(len(asking))
    wide = np.bincount(forest.feature[asking], weights=gain, minlength=forest.columns + len(forest.derived))
    return wide.astype(np.float64)


def _parting(forest: Forest, training: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Return by how much each split lowers the variance of the leaves' values, times its cover."""
    tree, (below, first_leaf) = layout.tree, number_leaves(layout)
    leaf = np.flatnonzero(layout.delta == 0)
    # Leaves in the order of trees and of their places in them: those below a node are one run.
    order = leaf[np.lexsort((first_leaf[leaf], tree[leaf]))]
    cover = training[layout.node[order]].astype(np.float64)
    values = forest.values[forest.left[layout.node[order]]]
    mass = np.concatenate([[0.0], np.cumsum(cover)])
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(cover[:, None] * values, axis=0)])
    counts = below[layout.begin[:-1]]
    start = (np.cumsum(counts) - counts)[tree] + first_leaf
    end = start + below
    weight, mean = _mean(mass, sums, start, end)
    parting = np.zeros(len(layout.node))
    inner = np.flatnonzero(layout.delta > 0)
    first, second = inner + layout.delta[inner], inner + layout.delta[inner] + 1
    share = weight[first] * weight[second] / np.maximum(weight[inner], 1e-300)
    parting[inner] = share * ((mean[first] - mean[second]) ** 2).sum(axis=1)
    return parting


def _mean(
    mass: NDArray[np.float64], sums: NDArray[np.float64], start: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight = mass[end] - mass[start]
    return weight, (sums[end] - sums[start]) / np.maximum(weight, 1e-300)[:, None]


def _of_additive(additive: Additive) -> NDArray[np.float64]:
    weight = np.abs(additive.weight).sum(axis=1)
    spread = additive.high - additive.low
    wide = weight * np.where(np.isfinite(spread), spread, 1.0)
    starts = np.sort(additive.table_start[additive.table_start >= 0])
    for column in np.flatnonzero(additive.table_start >= 0):
        start = additive.table_start[column]
        behind = starts[starts > start]
        table = additive.table[start : behind[0] if len(behind) else len(additive.table)]
        wide[column] = np.ptp(table, axis=0).sum() if len(table) else 0.0
    return np.asarray(wide)
