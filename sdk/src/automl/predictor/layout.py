"""Trees in the order in which the kernel walks them: both children of a node side by side, behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.check import DEEPEST
from automl_core import DataError, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layout", "lay_out", "number_leaves"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each reachable node of a forest goes.

    Attributes:
        node: int32 (reachable,), the old number of each node in the new order. place: int32 (nodes,), the reverse of it, -1
            for what no root reaches.
        delta: int32 (reachable,), how far behind a node its first child is; 0 for a leaf. The second child follows.
        begin: int64 (trees + 1,), where each tree begins. depth: int64 (trees,), levels below the root.
        levels: int32 each: the inner nodes of each level of all trees, by their old numbers.
    """

    node: NDArray[np.int32]
    place: NDArray[np.int32]
    delta: NDArray[np.int32]
    begin: NDArray[np.int64]
    depth: NDArray[np.int64]
    levels: tuple[NDArray[np.int32], ...]

    @property
    def tree(self) -> NDArray[np.int32]:
        """The tree of each node, in the new order."""
        return np.repeat(np.arange(len(self.depth), dtype=np.int32), np.diff(self.begin))


def lay_out(forest: Forest, flipped: NDArray[np.bool_] | None = None) -> Layout:
    """Lay out the nodes that the roots reach.

    Args:
        flipped: inner nodes whose right child is to come first.

    Raises:
        DataError: a tree has more than `DEEPEST` levels.
    """
    levels, depth = _walk(forest)
    place = np.arange(len(forest.feature), dtype=np.int32) if _is_laid_out(forest) else _place(forest, levels)
    inner = np.flatnonzero((forest.feature >= 0) & (place >= 0))
    pair = place[forest.left[inner]]
    if flipped is not None:
        # Exchanging two children moves nothing else: what is below them is reached by the distance from them.
        parents = np.flatnonzero(flipped & (place >= 0))
        left, right = forest.left[parents], forest.right[parents]
        place[left], place[right] = place[right], place[left]
    reached = np.flatnonzero(place >= 0)
    node = np.empty(len(reached), dtype=np.int32)
    node[place[reached]] = reached
    delta = np.zeros(len(node), dtype=np.int32)
    delta[place[inner]] = pair - place[inner]
    # Trees lie in the order of roots.
    begin = np.append(place[forest.roots], len(node)).astype(np.int64)
    return Layout(node, place, delta, begin, depth, tuple(levels))


def number_leaves(layout: Layout) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return of each node how many leaves are below it, and which leaf of its tree is the first of these.

    A leaf has itself below it; leaves of a tree are counted from first to second child.
    """
    levels = [layout.place[level] for level in layout.levels]
    child = np.arange(len(layout.node), dtype=np.int32) + layout.delta
    count, first = _count_leaves(levels, child, child + 1), np.zeros_like(child)
    for parents in levels:
        below = child[parents]
        first[below], first[below + 1] = first[parents], first[parents] + count[below]
    return count, first


def _walk(forest: Forest) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
    """Return the inner nodes of each level, and the depth of each tree."""
    node, tree = forest.roots, np.arange(len(forest.roots), dtype=np.int32)
    levels: list[NDArray[np.int32]] = []
    depth = np.zeros(len(tree), dtype=np.int64)
    for level in range(1, DEEPEST + 1):
        inner = np.flatnonzero(forest.feature[node] >= 0)
        if not len(inner):
            return levels, depth
        node, tree = node[inner], tree[inner]
        levels.append(node)
        depth[tree] = level
        # In the order of trees, which are near in memory.
        node, tree = np.stack([forest.left[node], forest.right[node]], axis=1).ravel(), np.repeat(tree, 2)
    raise DataError(f"a tree of the model has more than {DEEPEST} levels, which is not supported.")


def _is_laid_out(forest: Forest) -> bool:
    """Tell whether nodes are in the order that `_place` aims at already, as they are in files."""
    nodes, roots, cover, inner = len(forest.feature), forest.roots, forest.cover, forest.feature >= 0
    if cover is None or not len(roots) or roots[0] != 0 or (roots[1:] <= roots[:-1]).any() or roots[-1] >= nodes:
        return False
    parent = np.flatnonzero(inner)
    child = forest.left[parent]
    if not ((child > parent) & (child < nodes - 1) & (forest.right[parent] == child + 1)).all():
        return False
    # Two nodes below each inner one, all further on: by the last tree, then by the one before it, each has its own alone.
    if not np.array_equal(2 * np.add.reduceat(inner, roots, dtype=np.int64) + 1, np.diff(roots, append=nodes)):
        return False
    heavier = child + (cover[child + 1] > cover[child])
    goes_on = inner[heavier]
    return bool((forest.left[heavier[goes_on]] == child[goes_on] + 2).all())


def _place(forest: Forest, levels: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Return the place of each node, -1 where it is not reached: pairs of children depth first, the heavier one's before.

    So the way that most rows go is one run of memory.
    """
    left, right, roots = forest.left, forest.right, forest.roots
    leaves = _count_leaves(levels, left, right)
    weight = leaves if forest.cover is None else forest.cover
    sizes = 2 * leaves[roots] - 1
    place, behind = np.full(len(left), -1, dtype=np.int32), np.zeros(len(left), dtype=np.int32)
    place[roots] = np.cumsum(sizes) - sizes
    behind[roots] = place[roots] + 1  # where the first pair below a node goes
    for parents in levels:
        one, two, pair = left[parents], right[parents], behind[parents]
        place[one], place[two] = pair, pair + 1
        heavier = weight[one] >= weight[two]
        # A subtree has one pair less than leaves.
        behind[one] = pair + 2 + np.where(heavier, 0, 2 * (leaves[two] - 1))
        behind[two] = pair + 2 + np.where(heavier, 2 * (leaves[one] - 1), 0)
    return place


def _count_leaves(
    levels: Sequence[NDArray[np.int32]], first: NDArray[np.int32], second: NDArray[np.int32]
) -> NDArray[np.int32]:
    count = np.ones(len(first), dtype=np.int32)
    for parents in reversed(levels):
        count[parents] = count[first[parents]] + count[second[parents]]
    return count
