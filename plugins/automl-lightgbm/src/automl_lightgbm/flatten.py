"""LightGBM's text format as flat arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["flatten"]

CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of decision_type; the two above them are the kind of missing value
MISSING_NONE, MISSING_NAN = 0, 2


def flatten(text: str, rounds: int, classes: int) -> Forest:
    """Return the first `rounds` rounds of a model in LightGBM's text format.

    All trees are parsed at once, key by key: numpy reads a long line faster than Python reads a thousand short ones.

    Raises:
        ValueError: the model treats zeros as missing, which a flat model cannot say.
    """
    head, *blocks = text.split("\nTree=")
    per_round = classes if classes > 2 else 1
    trees = [_fields(block) for block in blocks[: rounds * per_round]]
    columns = int(_head(head, "max_feature_idx")) + 1
    leaves = np.array([int(tree["num_leaves"]) for tree in trees], dtype=np.int64)
    inner = leaves - 1
    first = np.concatenate([[0], np.cumsum(inner + leaves)])[:-1]  # node number of each tree's root
    feature = _numbers(trees, "split_feature", inner).astype(np.int64)
    threshold = _numbers(trees, "threshold", inner)
    decision = _numbers(trees, "decision_type", inner).astype(np.int64)
    owner = np.repeat(np.arange(len(trees)), inner)
    children = [
        _place(_numbers(trees, key, inner).astype(np.int64), first[owner], inner[owner])
        for key in ("left_child", "right_child")
    ]
    category, words, bits = _sets(trees, owner, threshold, decision, inner)
    missing = (decision >> 2) & 3
    if (missing == 1).any():
        raise ValueError("the model treats zeros as missing")
    numeric = category < 0
    went_left = np.where(missing == MISSING_NAN, (decision & DEFAULT_LEFT) > 0, threshold >= 0)
    place = _inner_places(first, inner)
    total = int((inner + leaves).sum())
    leaf_place = _leaf_places(first, inner, leaves)
    nodes = {
        "feature": np.full(total, -1, dtype=np.int32),
        "threshold": np.zeros(total, dtype=np.float32),
        "left": np.zeros(total, dtype=np.int32),
        "right": np.zeros(total, dtype=np.int32),
        "missing_left": np.zeros(total, dtype=np.bool_),
        "category": np.full(total, -1, dtype=np.int32),
        "words": np.zeros(total, dtype=np.int32),
        "cover": np.zeros(total, dtype=np.float32),
        "gain": np.zeros(total, dtype=np.float32),
    }
    nodes["feature"][place] = feature
    nodes["threshold"][place] = np.where(numeric, _down(np.where(numeric, threshold, 0.0)), 0)
    nodes["left"][place], nodes["right"][place] = children
    nodes["left"][leaf_place] = np.arange(len(leaf_place))
    nodes["missing_left"][place] = numeric & went_left
    nodes["category"][place], nodes["words"][place] = category, words
    nodes["cover"][place] = _numbers(trees, "internal_count", inner)
    nodes["cover"][leaf_place] = _numbers(trees, "leaf_count", np.where(inner > 0, leaves, 0), leaves)
    nodes["gain"][place] = _numbers(trees, "split_gain", inner)
    return Forest(
        columns=columns,
        bits=bits,
        values=_numbers(trees, "leaf_value", leaves)[:, None],
        roots=first.astype(np.int32),
        output=(np.arange(len(trees)) % per_round).astype(np.int32),
        base=np.zeros(per_round),
        link={0: "identity", 2: "sigmoid"}.get(classes, "softmax"),
        **nodes,
    )


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].split("\n")[1:] if "=" in line)


def _head(head: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", head, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"no {key} in the model's text")
    return found[1]


def _numbers(
    trees: Sequence[dict[str, str]], key: str, sizes: NDArray[np.int64], fill: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """Return the numbers of one key in all trees; `fill` says how many each tree has, absent ones being 1."""
    joined = " ".join(tree.get(key, "") for tree, size in zip(trees, sizes, strict=True) if size > 0)
    numbers = np.array(joined.split(), dtype=np.float64)
    if len(numbers) != sizes.sum():
        raise ValueError(f"the model's text has {len(numbers)} numbers of {key}, not {sizes.sum()}")
    if fill is None or (fill == sizes).all():
        return numbers
    full = np.ones(int(fill.sum()))
    full[np.repeat(sizes > 0, fill)] = numbers
    return full


def _place(child: NDArray[np.int64], first: NDArray[np.int64], inner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return node numbers: a tree's inner nodes come first, then its leaves, which LightGBM counts as -1, -2, ..."""
    return first + np.where(child >= 0, child, inner + ~child)


def _inner_places(first: NDArray[np.int64], inner: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(inner)])[:-1], inner)
    return starts + np.arange(int(inner.sum()))


def _leaf_places(first: NDArray[np.int64], inner: NDArray[np.int64], leaves: NDArray[np.int64]) -> NDArray[np.int64]:
    starts = np.repeat(first + inner - np.concatenate([[0], np.cumsum(leaves)])[:-1], leaves)
    return starts + np.arange(int(leaves.sum()))


def _sets(
    trees: Sequence[dict[str, str]],
    owner: NDArray[np.int64],
    threshold: NDArray[np.float64],
    decision: NDArray[np.int64],
    inner: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint32]]:
    """Return (first word, number of words) of each node's set of categories, -1 for a number, and all words."""
    category = np.full(len(owner), -1, dtype=np.int32)
    words = np.zeros(len(owner), dtype=np.int32)
    all_bits: list[NDArray[np.uint32]] = []
    offset = 0
    starts = np.concatenate([[0], np.cumsum(inner)])
    for number, tree in enumerate(trees):
        if int(tree.get("num_cat", 0)) == 0:
            continue
        bounds = np.array(tree["cat_boundaries"].split(), dtype=np.int64)
        bits = np.array(tree["cat_threshold"].split(), dtype=np.uint32)
        mine = np.arange(starts[number], starts[number + 1])
        mine = mine[(decision[mine] & CATEGORICAL) > 0]
        which = threshold[mine].astype(np.int64)
        category[mine] = offset + bounds[which]
        words[mine] = bounds[which + 1] - bounds[which]
        all_bits.append(bits)
        offset += len(bits)
    return category, words, np.concatenate(all_bits) if all_bits else np.zeros(0, dtype=np.uint32)


def _down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round towards minus infinity: x <= threshold is then decided alike for every float32 x."""
    rounded = np.clip(threshold, -3.4028234663852886e38, 3.4028234663852886e38).astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
