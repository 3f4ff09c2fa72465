"""The trees of CatBoost's JSON form as arrays of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Trees", "read_oblivious", "read_others"]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Nodes of all trees, each tree's in one piece.

    Attributes:
        split: int64 (nodes,), the question asked; -1 at a leaf.
        yes, no: int64 (nodes,), node to go to; of no meaning at a leaf.
        leaf: int64 (nodes,), row of `values`; of no meaning elsewhere.
        cover: float32 (nodes,), training weight that reached a node.
        roots: int32 (trees,). values: float64 (leaves, outputs).
    """

    split: NDArray[np.int64]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    leaf: NDArray[np.int64]
    cover: NDArray[np.float32]
    roots: NDArray[np.int32]
    values: NDArray[np.float64]


def read_oblivious(trees: Sequence[Mapping[str, Any]], first_is_yes: NDArray[np.bool_], outputs: int) -> Trees:
    """Read trees that ask one question per level, in heap order: the children of node i are 2 i + 1 and 2 i + 2.

    CatBoost counts leaves by the answers as bits, that of the first question being the lowest; it comes last here, so
    that leaves stand in order.

    Args:
        first_is_yes: bool (questions,): whether "yes" leads to the first child.
    """
    asked = [[split["split_index"] for split in tree.get("splits") or ()] for tree in trees]
    depth = np.array([len(splits) for splits in asked], dtype=np.int64)
    first_leaf = _starts(1 << depth)
    roots = _starts((2 << depth) - 1)
    total = int(((2 << depth) - 1).sum())
    weight = np.array(list(chain.from_iterable(tree["leaf_weights"] for tree in trees)), dtype=np.float64)
    values = np.array(list(chain.from_iterable(tree["leaf_values"] for tree in trees)), dtype=np.float64)
    split, leaf = np.full(total, -1, dtype=np.int64), np.zeros(total, dtype=np.int64)
    yes, no, cover = np.zeros_like(split), np.zeros_like(split), np.zeros(total, dtype=np.float32)
    for levels in np.unique(depth):
        same = np.flatnonzero(depth == levels)
        questions = np.array([asked[tree] for tree in same], dtype=np.int64).reshape(len(same), levels)
        inner = np.arange((1 << levels) - 1)
        level = np.floor(np.log2(inner + 1)).astype(np.int64)
        at = roots[same, None] + inner
        split[at] = questions[:, ::-1][:, level]
        turned = first_is_yes[split[at]]
        first, second = roots[same, None] + 2 * inner + 1, roots[same, None] + 2 * inner + 2
        yes[at], no[at] = np.where(turned, first, second), np.where(turned, second, first)
        flips = (first_is_yes[questions] << np.arange(levels)).sum(axis=1, dtype=np.int64)
        order = first_leaf[same, None] + (np.arange(1 << levels) ^ flips[:, None])
        leaf[roots[same, None] + len(inner) + np.arange(1 << levels)] = order
        for step in range(levels + 1):
            sums = weight[order].reshape(len(same), 1 << step, -1).sum(axis=2)
            cover[roots[same, None] + (1 << step) - 1 + np.arange(1 << step)] = sums
    return Trees(split, yes, no, leaf, cover, roots.astype(np.int32), values.reshape(-1, outputs))


def read_others(trees: Sequence[Mapping[str, Any]], outputs: int) -> Trees:
    """Read trees of nested nodes, parents before their children."""
    roots: list[int] = []
    split: list[int] = []
    parent: list[int] = []
    leaf: list[int] = []
    cover: list[float] = []
    values: list[Any] = []
    children: dict[str, list[int]] = {"right": [], "left": []}
    for tree in trees:
        roots.append(len(split))
        waiting: list[tuple[Mapping[str, Any], int, str]] = [(tree, -1, "")]
        while waiting:
            node, above, side = waiting.pop()
            if above >= 0:
                children[side][above] = len(split)
            parent.append(above)
            leaf.append(len(values))
            if "split" in node:
                waiting += [(node[which], len(split), which) for which in children]
                split.append(node["split"]["split_index"])
                cover.append(0.0)
            else:
                values.append(node["value"])
                split.append(-1)
                cover.append(float(node["weight"]))
            for places in children.values():
                places.append(0)
    for node_number in range(len(parent) - 1, -1, -1):
        if parent[node_number] >= 0:
            cover[parent[node_number]] += cover[node_number]
    return Trees(
        split=np.array(split, dtype=np.int64),
        yes=np.array(children["right"], dtype=np.int64),
        no=np.array(children["left"], dtype=np.int64),
        leaf=np.array(leaf, dtype=np.int64),
        cover=np.array(cover, dtype=np.float32),
        roots=np.array(roots, dtype=np.int32),
        values=np.array(values, dtype=np.float64).reshape(-1, outputs),
    )


def _starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])[:-1]
