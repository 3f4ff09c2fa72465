"""Trees in the order in which the kernel walks them: both children of a node side by side, behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor.check import DEEPEST
from automl.predictor.compiled import kernel
from automl_core import DataError, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layout", "lay_out", "number_leaves"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each reachable node of a forest goes.

    Attributes:
        node: int32 (reachable,), the old number of each node in the new order.
        delta: int32 (reachable,), how far behind a node its first child is; 0 for a leaf. The second child follows.
        begin: int64 (trees + 1,), where each tree begins. depth: int64 (trees,), levels below the root.
    """

    node: NDArray[np.int32]
    delta: NDArray[np.int32]
    begin: NDArray[np.int64]
    depth: NDArray[np.int64]

    @property
    def tree(self) -> NDArray[np.int32]:
        """The tree of each node, in the new order."""
        return np.repeat(np.arange(len(self.depth), dtype=np.int32), np.diff(self.begin))

    def levels(self) -> Iterator[NDArray[np.int64]]:
        """Yield the inner nodes of each level of all trees, in the new order."""
        node = self.begin[:-1]
        while len(node := node[self.delta[node] > 0]):
            yield node
            first = node + self.delta[node]
            node = np.stack([first, first + 1], axis=1).ravel()


def lay_out(forest: Forest, flipped: NDArray[np.bool_] | None = None) -> Layout:
    """Lay out the nodes that the roots reach: pairs of children depth first, the heavier one's before.

    So the way that most rows go is one run of memory.

    Args:
        flipped: inner nodes whose right child is to come first.

    Raises:
        DataError: a tree has more than `DEEPEST` levels.
    """
    if flipped is None:
        flipped = np.zeros(len(forest.feature), dtype=np.bool_)
    layout = _lay_out(forest, flipped) if kernel is None else _lay_out_compiled(forest, flipped)
    if layout is None:
        raise DataError(f"a tree of the model has more than {DEEPEST} levels, which is not supported.")
    return layout


def number_leaves(layout: Layout) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return of each node how many leaves are below it, and which leaf of its tree is the first of these.

    A leaf has itself below it; leaves of a tree are counted from first to second child.
    """
    if kernel is not None:
        count, first = np.empty_like(layout.delta), np.empty_like(layout.delta)
        kernel.number_leaves((np.ascontiguousarray(layout.delta), count, first))
        return count, first
    levels = list(layout.levels())
    child = np.arange(len(layout.node), dtype=np.int32) + layout.delta
    count, first = _count_leaves(levels, child, child + 1), np.zeros_like(child)
    for parents in levels:
        below = child[parents]
        first[below], first[below + 1] = first[parents], first[parents] + count[below]
    return count, first


def _lay_out_compiled(forest: Forest, flipped: NDArray[np.bool_]) -> Layout | None:
    nodes, trees = len(forest.feature), len(forest.roots)
    node, delta = np.empty(nodes, dtype=np.int32), np.empty(nodes, dtype=np.int32)
    begin, depth = np.empty(trees + 1, dtype=np.int64), np.empty(trees, dtype=np.int64)
    weight = forest.cover
    if weight is None:
        weight = _count_leaves(_walk(forest)[0], forest.left, forest.right).astype(np.float32)
    weight = np.require(weight, requirements=["C", "A"])  # of a file, it may lie anywhere
    given = (forest.feature, forest.left, forest.right, weight, flipped, forest.roots)
    if not kernel.lay_out(DEEPEST, (*map(np.ascontiguousarray, given), node, delta, begin, depth)):
        return None
    return Layout(node[: begin[-1]], delta[: begin[-1]], begin, depth)


def _lay_out(forest: Forest, flipped: NDArray[np.bool_]) -> Layout | None:
    levels, depth = _walk(forest)
    if len(levels) >= DEEPEST:
        return None
    place = _place(forest, levels)
    inner = np.flatnonzero((forest.feature >= 0) & (place >= 0))
    pair = place[forest.left[inner]]
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
    return Layout(node, delta, begin, depth)


def _walk(forest: Forest) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
    """Return the inner nodes of each level, and the depth of each tree."""
    node, tree = forest.roots, np.arange(len(forest.roots), dtype=np.int32)
    levels: list[NDArray[np.int32]] = []
    depth = np.zeros(len(tree), dtype=np.int64)
    while len(inner := np.flatnonzero(forest.feature[node] >= 0)) and len(levels) < DEEPEST:
        node, tree = node[inner], tree[inner]
        levels.append(node)
        depth[tree] = len(levels)
        # In the order of trees, which are near in memory.
        node, tree = np.stack([forest.left[node], forest.right[node]], axis=1).ravel(), np.repeat(tree, 2)
    return levels, depth


def _place(forest: Forest, levels: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Return the place of each node, -1 where it is not reached."""
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
    levels: Sequence[NDArray[np.signedinteger[Any]]], first: NDArray[np.int32], second: NDArray[np.int32]
) -> NDArray[np.int32]:
    count = np.ones(len(first), dtype=np.int32)
    for parents in reversed(levels):
        count[parents] = count[first[parents]] + count[second[parents]]
    return count
