"""XGBoost's own format as flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Forest
from automl_xgboost import ubjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_xgboost.matrices import Known
    from automl_xgboost.start import Start

__all__ = ["flatten"]


def flatten(raw: bytes, rounds: int, classes: int, known: Known, start: Start) -> Forest:
    """Return the first `rounds` rounds of a model in Universal Binary JSON.

    XGBoost goes left where a value is less than the condition, and right where a category is in the node's set. Each
    set is written here such that what is not in it, unknown and missing categories among it, takes the node's default.

    Raises:
        ValueError: the bytes are no such model.
    """
    model = ubjson.read(raw)["learner"]["gradient_booster"]["model"]
    outputs = classes if classes > 2 else 1
    trees = model["trees"][: rounds * outputs]
    sizes = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
    first = np.cumsum(sizes) - sizes
    left, right = (_join(trees, key, np.int64) for key in ("left_children", "right_children"))
    leaf = left < 0
    leaves = np.flatnonzero(leaf)
    condition = _join(trees, "split_conditions", np.float32)
    default_left = _join(trees, "default_left", np.bool_)
    feature = _join(trees, "split_indices", np.int64)
    category, words, bits = _sets(trees, first, feature, default_left, known)
    turned = (category >= 0) & default_left  # the set is the one that XGBoost sends right
    shift = np.repeat(first, sizes)
    left, right = np.where(turned, right, left) + shift, np.where(turned, left, right) + shift
    left[leaves], right[leaves] = np.arange(len(leaves)), 0
    number = ~leaf & (category < 0)
    return Forest(
        columns=len(known.codes),
        feature=np.where(leaf, -1, feature).astype(np.int32),
        threshold=np.nextafter(condition, np.float32(-np.inf), where=number, out=np.zeros_like(condition)),
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        missing_left=default_left & number,
        category=category,
        words=words,
        bits=bits,
        values=condition[leaves].astype(np.float64)[:, None],
        roots=first.astype(np.int32),
        output=np.array(model["tree_info"][: len(trees)], dtype=np.int32),
        base=np.array(start.base) * start.scale + start.shift,
        scale=start.scale,
        link={0: "identity", 2: "sigmoid"}.get(classes, "softmax"),
        cover=_join(trees, "sum_hessian", np.float32),
        gain=np.where(leaf, np.float32(0), _join(trees, "loss_changes", np.float32)),
    )


def _join(trees: Sequence[Mapping[str, Any]], key: str, kind: Any) -> NDArray[Any]:
    return np.concatenate([tree[key] for tree in trees]).astype(kind)


def _sets(
    trees: Sequence[Mapping[str, Any]],
    first: NDArray[np.int64],
    feature: NDArray[np.int64],
    default_left: NDArray[np.bool_],
    known: Known,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint32]]:
    """Return (first word, number of words) of each node's set of categories, -1 for a number, and all words."""
    category, words = np.full(len(feature), -1, dtype=np.int32), np.zeros(len(feature), dtype=np.int32)
    bits: list[NDArray[np.uint32]] = []
    offset = 0
    for tree, root in zip(trees, first.tolist(), strict=True):
        spans = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
        for place, begin, count in spans:
            node = root + int(place)
            seen = known.codes[feature[node]]
            if seen is None:
                raise ValueError(f"the model splits column {feature[node]} by category, which is a number")
            went_right = np.zeros(len(seen), dtype=np.bool_)
            went_right[tree["categories"][begin : begin + count]] = True
            members = seen & (went_right if default_left[node] else ~went_right)
            bits.append(_pack(members))
            category[node], words[node] = offset, len(bits[-1])
            offset += len(bits[-1])
    return category, words, np.concatenate(bits) if bits else np.zeros(0, dtype=np.uint32)


def _pack(members: NDArray[np.bool_]) -> NDArray[np.uint32]:
    padded = np.zeros(-(-len(members) // 32) * 32, dtype=np.bool_)
    padded[: len(members)] = members
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)
