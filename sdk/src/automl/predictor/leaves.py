"""Small trees by their leaves: which ones each node rules out (see the kernel's source)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.layout import number_leaves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.layout import Layout

__all__ = ["LeafMaskBuilder", "LeafMasks"]

MOST_WORDS = 8  # as in the kernel
ALL = 0xFFFFFFFF
# What a row costs, in the time that it takes to ask one numeric node by its leaves (measured).
ASK_SET, STEP, STEP_WITH_SETS = 4.0, 10.0, 32.0


@dataclass(frozen=True, slots=True, eq=False)
class LeafMasks:
    """Attributes:
    entries: uint32 (entries, 3): value and column of a node, and the leaves of one word that stay where it sends a row
        to its second child.
    spans: int64: where the entries of each word of each tree begin, and one more for the end of each tree.
    rows: uint32: for each leaf of each tree, the number of its value.
    """

    entries: NDArray[np.uint32]
    spans: NDArray[np.int64]
    rows: NDArray[np.uint32]


class LeafMaskBuilder:
    """Collects the masks of all trees that are worth it."""

    def __init__(self, first_set: int) -> None:
        self._first_set = first_set
        self._entries = [np.empty((0, 3), dtype=np.uint32)]
        self._spans = [np.empty(0, dtype=np.int64)]
        self._rows = [np.empty(0, dtype=np.uint32)]
        self._entry = self._span = self._row = 0

    def add(self, layout: Layout, value: NDArray[np.uint32], feature: NDArray[np.int32]) -> NDArray[np.int64]:
        """Add the trees of a layout and return (trees, 3): words, place in spans, place in rows; words 0 if left out.

        Args:
            value, feature: of the layout's nodes, in its order.
        """
        count = (np.diff(layout.begin) + 1) // 2
        words = -(-count // 32)
        words[~self._worth(layout, count, feature)] = 0
        spans = np.where(words > 0, words + 1, 0)
        leaves = np.where(words > 0, count, 0)
        places = np.stack(
            [words, self._span + np.cumsum(spans) - spans, self._row + np.cumsum(leaves) - leaves], axis=1
        )
        if not words.any():
            return places
        tree, (below, leaf) = layout.tree, number_leaves(layout)
        self._add_entries(layout, tree, words, below, leaf, value, feature)
        ends = np.flatnonzero((layout.delta == 0) & (words[tree] > 0))
        rows = np.empty(len(ends), dtype=np.uint32)
        rows[places[tree[ends], 2] - self._row + leaf[ends]] = value[ends]
        self._rows.append(rows)
        self._span, self._row = self._span + int(spans.sum()), self._row + len(rows)
        return places

    def _worth(self, layout: Layout, leaves: NDArray[np.int64], feature: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell for which trees of so many leaves asking all nodes costs less than going down."""
        fits = leaves <= 32 * MOST_WORDS
        if not fits.any():
            return fits
        sets = np.add.reduceat(feature >= self._first_set, layout.begin[:-1], dtype=np.int64)
        numbers = leaves - 1 - sets
        steps = (layout.depth + 1) * np.where(sets > 0, STEP_WITH_SETS, STEP)
        return np.asarray(fits & (numbers + ASK_SET * sets < steps))

    def _add_entries(
        self,
        layout: Layout,
        tree: NDArray[np.int32],
        words: NDArray[np.int64],
        below: NDArray[np.int32],
        leaf: NDArray[np.int32],
        value: NDArray[np.uint32],
        feature: NDArray[np.int32],
    ) -> None:
        node = np.flatnonzero((layout.delta > 0) & (words[tree] > 0))
        # The leaves that a node rules out: those below its first child.
        low = leaf[node].astype(np.int64)
        high = low + below[node + layout.delta[node]]
        touched = ((high - 1) >> 5) - (low >> 5) + 1
        again = np.repeat(np.arange(len(node)), touched)
        word = (low >> 5)[again] + np.arange(len(again)) - np.repeat(np.cumsum(touched) - touched, touched)
        start = np.clip(low[again] - 32 * word, 0, 32).astype(np.uint64)
        end = np.clip(high[again] - 32 * word, 0, 32).astype(np.uint64)
        one = np.uint64(1)
        keep = np.uint64(ALL) ^ (((one << end) - one) ^ ((one << start) - one))
        # One more word per tree, which stays empty: where the tree's last word ends.
        base = np.cumsum(np.where(words > 0, words + 1, 0)) - np.where(words > 0, words + 1, 0)
        group = base[tree[node[again]]] + word
        order = np.argsort(group, kind="stable")
        entries = np.stack([value[node[again]], feature[node[again]].astype(np.uint32), keep.astype(np.uint32)], axis=1)
        counts = np.bincount(group, minlength=int(np.where(words > 0, words + 1, 0).sum()))
        self._entries.append(entries[order])
        self._spans.append(self._entry + np.cumsum(counts) - counts)
        self._entry += len(entries)

    def finish(self) -> LeafMasks:
        return LeafMasks(np.concatenate(self._entries), np.concatenate(self._spans), np.concatenate(self._rows))
