"""Trees in the order in which the kernel walks them: both children of a node side by side, behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.check import DEEPEST
from automl_core import DataError, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layout", "lay_out"]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each reachable node of a forest goes.

    Attributes:
        node: int32 (reachable,), the old number of each node in the new order.
        delta: int64 (reachable,), how far behind a node its first child is; 0 for a leaf. The second child follows.
        begin: int64 (trees + 1,), where each tree begins. depth: int64 (trees,), levels below the root.
        oblivious: bool (trees,): whether all nodes of each level ask the same, and all leaves are on the last one.
        leaves: int64 (reachable,), how many leaves are below each node, 1 for a leaf itself.
        leaf: int64 (reachable,), which leaf of its tree is the first one below each node, counted from first to second.
    """

    node: NDArray[np.int32]
    delta: NDArray[np.int64]
    begin: NDArray[np.int64]
    depth: NDArray[np.int64]
    oblivious: NDArray[np.bool_]
    leaves: NDArray[np.int64]
    leaf: NDArray[np.int64]


def lay_out(
    forest: Forest, first: NDArray[np.int32], second: NDArray[np.int32], question: NDArray[np.uint64]
) -> Layout:
    """Lay out the nodes that the roots reach.

    Args:
        first, second: the children in the order wanted. question: equal where nodes decide alike.

    Raises:
        DataError: a tree has more than `DEEPEST` levels.
    """
    trees = len(forest.roots)
    node, tree = forest.roots.astype(np.int64), np.arange(trees)
    nodes, owners, children = [], [], []
    depth = np.zeros(trees, dtype=np.int64)
    oblivious = np.ones(trees, dtype=np.bool_)
    seen = 0
    for level in range(DEEPEST):
        inner = forest.feature[node] >= 0
        nodes.append(node)
        owners.append(tree)
        seen += len(node)
        children.append(np.where(inner, seen + 2 * (np.cumsum(inner) - 1), -1))
        _note_oblivious(oblivious, level, tree, inner, question[node])
        if not inner.any():
            break
        parents = node[inner]
        tree = np.repeat(tree[inner], 2)
        node = np.stack([first[parents], second[parents]], axis=1).ravel().astype(np.int64)
        depth[tree] = level + 1
    else:
        raise DataError(f"a tree of the model has more than {DEEPEST} levels, which is not supported.")
    node, owner = np.concatenate(nodes), np.concatenate(owners)
    levels = _levels_of_parents(children)
    child = np.concatenate(children)
    leaves, leaf = _count_leaves(child, levels)
    begin = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=trees))])
    place = begin[owner] + _place(child, levels, leaves, leaves if forest.cover is None else forest.cover[node])
    order = np.empty(len(place), dtype=np.int64)
    order[place] = np.arange(len(place))
    delta = np.where(child >= 0, place[child] - place, 0)[order]
    return Layout(node[order].astype(np.int32), delta, begin, depth, oblivious, leaves[order], leaf[order])


def _levels_of_parents(children: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Return the inner nodes of each level, by their numbers over all levels."""
    ends = np.cumsum([len(level) for level in children])
    return [np.flatnonzero(level >= 0) + end - len(level) for level, end in zip(children, ends, strict=True)]


def _count_leaves(
    child: NDArray[np.int64], levels: list[NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many leaves are below each node and which is the first."""
    count, first = np.ones(len(child), dtype=np.int64), np.zeros(len(child), dtype=np.int64)
    for parents in reversed(levels):
        count[parents] = count[child[parents]] + count[child[parents] + 1]
    for parents in levels:
        below = child[parents]
        first[below], first[below + 1] = first[parents], first[parents] + count[below]
    return count, first


def _place(
    child: NDArray[np.int64],
    levels: list[NDArray[np.int64]],
    leaves: NDArray[np.int64],
    weight: NDArray[np.int64] | NDArray[np.float32],
) -> NDArray[np.int64]:
    """Return the place of each node in its tree: pairs of children depth first, below the heavier one before the other.

    So the way that most rows go is one run of memory.
    """
    pair, place = np.zeros(len(child), dtype=np.int64), np.zeros(len(child), dtype=np.int64)
    for parents in levels:
        one, two = child[parents], child[parents] + 1
        place[one], place[two] = 1 + 2 * pair[parents], 2 + 2 * pair[parents]
        heavier = weight[one] >= weight[two]
        # A subtree has one pair less than leaves.
        pair[one] = pair[parents] + 1 + np.where(heavier, 0, leaves[two] - 1)
        pair[two] = pair[parents] + 1 + np.where(heavier, leaves[one] - 1, 0)
    return place


def _note_oblivious(
    oblivious: NDArray[np.bool_],
    level: int,
    tree: NDArray[np.int64],
    inner: NDArray[np.bool_],
    question: NDArray[np.uint64],
) -> None:
    """Clear the flag of trees whose level is neither all leaves nor one question asked 2 ** level times."""
    starts = np.flatnonzero(np.r_[True, tree[1:] != tree[:-1]]) if len(tree) else np.empty(0, dtype=np.int64)
    if not len(starts):
        return
    inside = np.add.reduceat(inner, starts, dtype=np.int64)
    count = np.diff(np.r_[starts, len(tree)])
    alike = np.minimum.reduceat(question, starts) == np.maximum.reduceat(question, starts)
    full = count == 1 << min(level, 62)
    oblivious[tree[starts]] &= full & ((inside == 0) | ((inside == count) & alike))
