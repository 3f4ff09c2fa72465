"""scikit-learn's fitted trees as an `automl_core.Forest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Tree", "join", "round_down", "tree_of_estimator"]


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree, with node numbers of its own; a leaf has feature -1. Arrays are as in `Forest`.

    Attributes:
        values: float64 (nodes, width), read at leaves only.
        bits: per categorical node, in order of node numbers, as many words of its set of codes as `words` says.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    cover: NDArray[np.float32]
    gain: NDArray[np.float32]
    words: NDArray[np.int32]
    bits: NDArray[np.uint32]


def join(
    trees: Sequence[Tree],
    output: NDArray[np.int32],
    base: NDArray[np.float64],
    *,
    columns: int,
    link: str,
    scale: float,
) -> Forest:
    """Put trees one after the other; `output` is the first output that each adds to."""
    counts = np.array([len(tree.feature) for tree in trees])
    roots = np.concatenate([[0], np.cumsum(counts)[:-1]])
    offset = np.repeat(roots, counts)
    feature = np.concatenate([tree.feature for tree in trees])
    leaf = feature < 0
    leaves, place = _distinct(np.concatenate([tree.values for tree in trees])[leaf])
    left = np.concatenate([tree.left for tree in trees]) + offset
    right = np.concatenate([tree.right for tree in trees]) + offset
    left[leaf], right[leaf] = place, 0
    words = np.concatenate([tree.words for tree in trees])
    category = np.where(words > 0, np.cumsum(words) - words, -1)
    return Forest(
        columns=columns,
        feature=feature,
        threshold=np.concatenate([tree.threshold for tree in trees]),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=np.concatenate([tree.missing_left for tree in trees]),
        category=category.astype(np.int32),
        words=words.astype(np.int32),
        bits=np.concatenate([tree.bits for tree in trees]).astype(np.uint32),
        values=leaves,
        roots=roots.astype(np.int32),
        output=output,
        base=base,
        link=link,
        scale=scale,
        cover=np.concatenate([tree.cover for tree in trees]),
        gain=np.concatenate([tree.gain for tree in trees]),
    )


def _distinct(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct rows, and which of them each row is; rows are equal where their bytes are."""
    rows = np.ascontiguousarray(rows) + 0.0  # one zero: -0.0 becomes 0.0
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, place = np.unique(whole, return_index=True, return_inverse=True)
    return rows[first], place


def round_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 not above each threshold: x <= it exactly where float32 x <= the threshold."""
    narrow = threshold.astype(np.float32)
    above = narrow.astype(np.float64) > threshold
    narrow[above] = np.nextafter(narrow[above], np.float32(-np.inf))
    return narrow


def tree_of_estimator(tree: Any) -> Tree:
    """Read the `tree_` of a fitted decision tree; its values are numbers, or a class's share of each leaf."""
    leaf = tree.children_left < 0
    weight, impurity = tree.weighted_n_node_samples, tree.impurity
    left, right = np.where(leaf, 0, tree.children_left), np.where(leaf, 0, tree.children_right)
    gain = weight * impurity - weight[left] * impurity[left] - weight[right] * impurity[right]
    nodes = len(leaf)
    return Tree(
        feature=np.where(leaf, -1, tree.feature).astype(np.int32),
        threshold=round_down(tree.threshold),
        left=left,
        right=right,
        missing_left=np.where(leaf, 0, tree.missing_go_to_left).astype(np.bool_),
        values=tree.value[:, 0, :],
        cover=weight.astype(np.float32),
        gain=np.where(leaf, 0.0, np.maximum(gain, 0.0)).astype(np.float32),
        words=np.zeros(nodes, dtype=np.int32),
        bits=np.empty(0, dtype=np.uint32),
    )
