"""XGBoost's JSON format as flat arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flatten"]


def flatten(raw: bytes, rounds: int, classes: int) -> Forest:
    """Return the first `rounds` rounds of a model in XGBoost's JSON format.

    XGBoost goes left where a value is less than the condition, and right where a category is in the node's set. A node
    of categories is turned round here, so that a category that XGBoost never saw takes the same way.
    """
    learner = json.loads(raw)["learner"]
    model = learner["gradient_booster"]["model"]
    outputs = classes if classes > 2 else 1
    trees = model["trees"][: rounds * outputs]
    sizes = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
    first = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    shift = np.repeat(first, sizes)
    left, right = (_join(trees, key, np.int64) for key in ("left_children", "right_children"))
    leaf = left < 0
    condition = _join(trees, "split_conditions", np.float64).astype(np.float32)
    default_left = _join(trees, "default_left", np.int64).astype(np.bool_)
    category, words, bits = _sets(trees, sizes)
    turned = category >= 0
    left, right = np.where(turned, right, left) + shift, np.where(turned, left, right) + shift
    below = np.nextafter(condition, np.float32(-np.inf))
    leaves = np.flatnonzero(leaf)
    left[leaves], right[leaves] = np.arange(len(leaves)), 0
    return Forest(
        columns=int(learner["learner_model_param"]["num_feature"]),
        feature=np.where(leaf, -1, _join(trees, "split_indices", np.int64)).astype(np.int32),
        threshold=np.where(leaf | turned, np.float32(0), below).astype(np.float32),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=(default_left ^ turned) & ~leaf,
        category=category,
        words=words,
        bits=bits,
        values=condition[leaves].astype(np.float64)[:, None],
        roots=first.astype(np.int32),
        output=np.array(model["tree_info"][: len(trees)], dtype=np.int32),
        base=_base(learner, outputs, classes),
        link={0: "identity", 2: "sigmoid"}.get(classes, "softmax"),
        cover=_join(trees, "sum_hessian", np.float64).astype(np.float32),
        gain=np.where(leaf, 0.0, _join(trees, "loss_changes", np.float64)).astype(np.float32),
    )


def _join(trees: Sequence[Mapping[str, Any]], key: str, kind: type[Any]) -> NDArray[Any]:
    return np.array([number for tree in trees for number in tree[key]], dtype=kind)


def _base(learner: Mapping[str, Any], outputs: int, classes: int) -> NDArray[np.float64]:
    """Return the score before the first tree; newer versions write a vector, and a probability for binary."""
    told = str(learner["learner_model_param"]["base_score"]).strip("[]")
    score = np.array([float(part) for part in told.split(",")], dtype=np.float64)
    if classes == 2:
        score = np.log(score / (1 - score))
    return np.broadcast_to(score, outputs).copy()


def _sets(
    trees: Sequence[Mapping[str, Any]], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint32]]:
    """Return (first word, number of words) of each node's set of categories, -1 for a number, and all words."""
    total = int(sizes.sum())
    category, words = np.full(total, -1, dtype=np.int32), np.zeros(total, dtype=np.int32)
    all_bits: list[NDArray[np.uint32]] = []
    offset, start = 0, 0
    for tree, size in zip(trees, sizes, strict=True):
        codes = np.array(tree["categories"], dtype=np.int64)
        for node, begin, count in zip(
            tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
        ):
            mine = codes[begin : begin + count]
            bits = np.zeros(int(mine.max(initial=0)) // 32 + 1, dtype=np.uint32)
            np.bitwise_or.at(bits, mine // 32, (1 << (mine % 32)).astype(np.uint32))
            category[start + node], words[start + node] = offset, len(bits)
            all_bits.append(bits)
            offset += len(bits)
        start += int(size)
    return category, words, np.concatenate(all_bits) if all_bits else np.zeros(0, dtype=np.uint32)
