"""LightGBM's text format as flat arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_lightgbm.binned import Target

__all__ = ["flatten"]

# Bits of decision_type; bits 2 and 3 are the kind of missing value.
CATEGORICAL, DEFAULT_LEFT = 1, 2
ZERO, NAN = 1, 2
FLOAT32 = np.finfo(np.float32)
ZERO_BAND = np.float32(1e-35)  # LightGBM predicts values up to this, of either sign, as zeros


@dataclass(frozen=True, slots=True)
class Trees:
    """The trees of a text; the nodes of each are its inner ones, then its leaves, in LightGBM's order of both."""

    fields: list[dict[str, str]]
    inner: NDArray[np.int64]
    leaves: NDArray[np.int64]

    @property
    def roots(self) -> NDArray[np.int64]:
        return _starts(self.inner + self.leaves)

    def ints(self, key: str, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._read(key, sizes, np.int64)

    def floats(self, key: str, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._read(key, sizes, np.float64)

    def _read(self, key: str, sizes: NDArray[np.int64], kind: Any) -> NDArray[Any]:
        # All trees at once: numpy reads a long line faster than Python reads a thousand short ones.
        line = " ".join([tree[key] for tree, size in zip(self.fields, sizes, strict=True) if size > 0])
        numbers: NDArray[Any] = np.fromstring(line, dtype=kind, sep=" ")
        if len(numbers) != sizes.sum():
            raise ValueError(f"the model's text has {len(numbers)} numbers of {key}, not {sizes.sum()}")
        return numbers


def flatten(text: str, rounds: int, classes: int, target: Target) -> Forest:
    """Return the first `rounds` rounds of a model in LightGBM's text format.

    Raises:
        ValueError: the text is no such model, or treats zeros as missing, which a flat model cannot say.
    """
    head, *blocks = text.split("\nTree=")
    outputs = classes if classes > 2 else 1
    trees = _trees(blocks[: rounds * outputs])
    total = int((trees.inner + trees.leaves).sum())
    split, leaf = _places(trees.roots, trees.inner), _places(trees.roots + trees.inner, trees.leaves)
    decision, threshold = trees.ints("decision_type", trees.inner), trees.floats("threshold", trees.inner)
    category, words, bits = _sets(trees, decision, threshold)
    number = category < 0
    left, right = (_children(trees, key) for key in ("left_child", "right_child"))
    return Forest(
        columns=int(_head(head, "max_feature_idx")) + 1,
        feature=_scatter(total, split, trees.ints("split_feature", trees.inner), -1, np.int32),
        threshold=_scatter(total, split, np.where(number, _down(threshold), 0.0), 0, np.float32),
        left=_scatter(total, np.append(split, leaf), np.append(left, np.arange(len(leaf))), 0, np.int32),
        right=_scatter(total, split, right, 0, np.int32),
        missing_left=_scatter(total, split, number & _missing_left(decision, threshold), 0, np.bool_),
        category=_scatter(total, split, category, -1, np.int32),
        words=_scatter(total, split, words, 0, np.int32),
        bits=bits,
        values=trees.floats("leaf_value", trees.leaves)[:, None],
        roots=trees.roots.astype(np.int32),
        output=(np.arange(len(trees.fields)) % outputs).astype(np.int32),
        base=np.full(outputs, target.shift),
        scale=target.scale,
        link={0: "identity", 2: "sigmoid"}.get(classes, "softmax"),
        cover=_scatter(total, np.append(split, leaf), _cover(trees), 0, np.float32),
        gain=_scatter(total, split, trees.floats("split_gain", trees.inner), 0, np.float32),
    )


def _trees(blocks: list[str]) -> Trees:
    fields = [
        dict(line.split("=", 1) for line in block.split("\n\n", 1)[0].split("\n")[1:] if "=" in line)
        for block in blocks
    ]
    leaves = np.array([int(tree["num_leaves"]) for tree in fields], dtype=np.int64)
    return Trees(fields, leaves - 1, leaves)


def _head(head: str, key: str) -> str:
    found = re.search(rf"^{key}=(.*)$", head, flags=re.MULTILINE)
    if found is None:
        raise ValueError(f"no {key} in the model's text")
    return found[1]


def _starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.cumsum(sizes) - sizes


def _places(first: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return first[0], first[0] + 1, ... of each tree's nodes of one kind."""
    return np.repeat(first - _starts(sizes), sizes) + np.arange(int(sizes.sum()))


def _scatter(total: int, place: NDArray[np.int64], numbers: NDArray[Any], rest: int, kind: Any) -> NDArray[Any]:
    full = np.full(total, rest, dtype=kind)
    full[place] = numbers
    return full


def _children(trees: Trees, key: str) -> NDArray[np.int64]:
    """Return node numbers; LightGBM counts inner nodes 0, 1, ... and leaves -1, -2, ..."""
    child = trees.ints(key, trees.inner)
    first, inner = np.repeat(trees.roots, trees.inner), np.repeat(trees.inner, trees.inner)
    return first + np.where(child >= 0, child, inner + ~child)


def _cover(trees: Trees) -> NDArray[np.float64]:
    """Return rows per inner node, then per leaf; a tree of one leaf tells none, and counts for one."""
    grown = np.where(trees.inner > 0, trees.leaves, 0)
    leaves = np.ones(int(trees.leaves.sum()))
    leaves[np.repeat(trees.inner > 0, trees.leaves)] = trees.ints("leaf_count", grown)
    return np.append(trees.ints("internal_count", trees.inner), leaves)


def _missing_left(decision: NDArray[np.int64], threshold: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say where NaN goes: by the node's default, or as a zero where training saw no missing value."""
    kind = (decision >> 2) & 3
    if (kind == ZERO).any():
        raise ValueError("the model treats zeros as missing; train it with zero_as_missing=false")
    return np.where(kind == NAN, (decision & DEFAULT_LEFT) > 0, threshold >= 0)


def _sets(
    trees: Trees, decision: NDArray[np.int64], threshold: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Return (first word, number of words) of each node's set of categories, -1 for a number, and all words."""
    category, words = np.full(len(decision), -1, dtype=np.int64), np.zeros(len(decision), dtype=np.int64)
    bits: list[NDArray[np.uint32]] = []
    offset = 0
    asks = (decision & CATEGORICAL) > 0
    starts = _starts(trees.inner)
    for tree, start, inner in zip(trees.fields, starts, trees.inner, strict=True):
        if tree.get("num_cat", "0") == "0":
            continue
        bounds = np.fromstring(tree["cat_boundaries"], dtype=np.int64, sep=" ")
        nodes = start + np.flatnonzero(asks[start : start + inner])
        which = threshold[nodes].astype(np.int64)  # the threshold of such a node is the number of its set
        category[nodes], words[nodes] = offset + bounds[which], bounds[which + 1] - bounds[which]
        bits.append(np.fromstring(tree["cat_threshold"], dtype=np.int64, sep=" ").astype(np.uint32))
        offset += len(bits[-1])
    return category, words, np.concatenate(bits) if bits else np.zeros(0, dtype=np.uint32)


def _down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round towards minus infinity: x <= threshold is then decided alike for every float32 x."""
    rounded = np.clip(threshold, FLOAT32.min, FLOAT32.max).astype(np.float32)
    below = np.nextafter(rounded, np.float32(-np.inf), where=rounded > threshold, out=rounded)
    near = np.where(threshold < 0, np.nextafter(-ZERO_BAND, np.float32(-1)), ZERO_BAND)
    return np.where(np.abs(threshold) <= ZERO_BAND, near, below).astype(np.float32)
