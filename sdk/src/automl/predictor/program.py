"""Compile an ensemble of flat models into the arrays that the kernel, and numpy in its place, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor.columns import COPY, Columns, assign_columns, kinds_of
from automl.predictor.compiled import kernel
from automl.predictor.layout import Layout, lay_out, number_leaves
from automl.predictor.leaves import LeafMaskBuilder, LeafMasks
from automl.predictor.lookups import Lookups, join_lookups
from automl.predictor.sets import Sets, join_sets
from automl_core import Additive, Derived, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.parts import Part

__all__ = ["LINK_CODES", "Program", "compile_parts"]

LINK_CODES = {"identity": 0, "sigmoid": 1, "softmax": 2, "probability": 3, "exp": 4}
PLAIN, WITH_SETS, OBLIVIOUS = 0, 1, 2
DEEPEST_OBLIVIOUS = 16  # leaves of an oblivious tree are stored in full


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """An ensemble as arrays; the kernel's source says how they are read.

    A block of rows has one row per entry of `columns.fills`. Rows of arrays, all int64 where not said otherwise:

    Attributes:
        columns: how the block is filled. derived: the distinct derived columns. lookups: their tables. sets: of codes.
        inputs: encoded columns. outputs: of the ensemble: 1, or one per class. temperature: of the probabilities.
        value: uint32 (nodes,): the bits of a threshold, the place of a set, or the number of a leaf's value.
        feature: int32 (nodes,), column of the block. delta: int32 (nodes,), to the first child, 0 for a leaf.
        reals: float64, all values of leaves, bases, tables.
        trees: (trees, 10): first node, kind, first output, width, depth, place of its values in `reals`, end node, then as
            `LeafMasks` says: words of its leaves, 0 where rows go down it; place in `spans`; place in `rows`.
        parts: (parts, 8): additive, link, outputs, first tree or term, end, place of base, place of table, its rows.
        part_reals: float64 (parts, 2): weight, scale.
        terms: (terms, 4): column of the block, first row of the table or -1, place of low, high, weights, missing; 0.
        leaves: for the way of many rows through small trees.
        node: int32 (nodes,), for each node its number in its part, whose nodes are those of its trees.
    """

    columns: Columns
    derived: tuple[Derived, ...]
    lookups: Lookups
    sets: Sets
    inputs: int
    outputs: int
    temperature: float
    value: NDArray[np.uint32]
    feature: NDArray[np.int32]
    delta: NDArray[np.int32]
    reals: NDArray[np.float64]
    trees: NDArray[np.int64]
    parts: NDArray[np.int64]
    part_reals: NDArray[np.float64]
    terms: NDArray[np.int64]
    leaves: LeafMasks
    node: NDArray[np.int32]


def compile_parts(
    parts: Sequence[Part], *, columns: int, outputs: int, temperature: float = 1.0, oblivious: bool = True
) -> Program:
    """Compile checked parts (see `check_flat`).

    Args:
        columns: encoded columns. outputs: 1, or the number of classes.
        oblivious: evaluate trees whose levels ask one question each by their answers' bits.
    """
    flats = [part.flat for part in parts]
    lookups, derived, places = join_lookups(flats, columns)
    sets, set_places = join_sets(flats)
    block, tables = assign_columns(flats, places, inputs=columns)
    builder = _Builder(block, oblivious, sum(flat.feature.size for flat in flats if isinstance(flat, Forest)))
    for i, part in enumerate(parts):
        if isinstance(part.flat, Forest):
            builder.add_forest(part.flat, tables[i], set_places[i])
        else:
            builder.add_additive(part.flat, tables[i][COPY])
    scales = [[part.weight, part.flat.scale] for part in parts]
    return Program(
        columns=block,
        derived=derived,
        lookups=lookups,
        sets=sets,
        inputs=columns,
        outputs=outputs,
        temperature=temperature,
        value=builder.value[: builder.nodes],
        feature=builder.feature[: builder.nodes],
        delta=builder.delta[: builder.nodes],
        reals=_join(builder.reals, np.float64),
        trees=_join(builder.trees, np.int64, (0, 10)),
        parts=np.array(builder.parts, dtype=np.int64).reshape(-1, 8),
        part_reals=np.array(scales, dtype=np.float64).reshape(-1, 2),
        terms=_join(builder.terms, np.int64, (0, 4)),
        leaves=builder.leaves.finish(),
        node=builder.node[: builder.nodes],
    )


def _join(arrays: list[NDArray[Any]], dtype: type, shape: tuple[int, ...] = (0,)) -> NDArray[Any]:
    return np.concatenate([np.empty(shape, dtype=dtype), *arrays]).astype(dtype, copy=False)


class _Builder:
    """Collects the arrays of a program, part by part."""

    def __init__(self, columns: Columns, oblivious: bool, most_nodes: int) -> None:
        self._columns, self._oblivious = columns, oblivious
        self.nodes = self._trees = self._terms = self._size = 0
        self.value = np.empty(most_nodes, dtype=np.uint32)
        self.feature, self.delta, self.node = (np.empty(most_nodes, dtype=np.int32) for _ in range(3))
        self.reals: list[NDArray[Any]] = []
        self.trees: list[NDArray[Any]] = []
        self.terms: list[NDArray[Any]] = []
        self.parts: list[list[int]] = []
        self.leaves = LeafMaskBuilder(columns.first_set)

    def _add_reals(self, numbers: NDArray[np.float64]) -> int:
        place = self._size
        self.reals.append(numbers.ravel())
        self._size += numbers.size
        return place

    # ---- forests

    def add_forest(self, forest: Forest, table: NDArray[np.int32], sets: NDArray[np.int64]) -> None:
        layout = lay_out(forest, _flipped(forest))
        value, feature = _fill_nodes(forest, layout, sets, table, self._columns.lowest)
        begin, count = self._trees, len(forest.roots)
        rows = np.zeros((count, 10), dtype=np.int64)
        rows[:, 2], rows[:, 3], rows[:, 4] = forest.output, forest.values.shape[1], layout.depth
        heads = _heads(layout, value, feature) if self._oblivious else None
        if heads is not None:
            self._add_levels(forest, layout, rows, heads, value, feature)
        else:
            rows[:, 0], rows[:, 6] = layout.begin[:-1] + self.nodes, layout.begin[1:] + self.nodes
            has_sets = np.maximum.reduceat(feature, layout.begin[:-1]) >= self._columns.first_set
            rows[:, 1], rows[:, 5] = np.where(has_sets, WITH_SETS, PLAIN), self._add_reals(forest.values)
            self._add_nodes(layout.node, layout.delta, value, feature)
            rows[:, 7:10] = self.leaves.add(layout, value, feature)
        self.trees.append(rows)
        self._trees += count
        base = self._add_reals(forest.base)
        self.parts.append([0, LINK_CODES[forest.link], len(forest.base), begin, self._trees, base, 0, 0])

    def _add_nodes(
        self, node: NDArray[np.int32], delta: NDArray[np.int32],
        value: NDArray[np.uint32], feature: NDArray[np.int32],
    ) -> None:  # fmt: skip
        rows = slice(self.nodes, self.nodes + len(node))
        self.value[rows], self.feature[rows], self.delta[rows] = value, feature, delta
        self.node[rows] = node
        self.nodes = rows.stop

    def _add_levels(
        self, forest: Forest, layout: Layout, rows: NDArray[np.int64], heads: NDArray[np.int64],
        value: NDArray[np.uint32], feature: NDArray[np.int32],
    ) -> None:  # fmt: skip
        """Add each tree as one node per level, and its leaves in full."""
        _, leaf = number_leaves(layout)
        ends = np.flatnonzero(layout.delta == 0)
        counts = 1 << layout.depth
        before = np.cumsum(counts) - counts
        leaves = np.empty(len(ends), dtype=np.int32)
        leaves[before[layout.tree[ends]] + leaf[ends]] = layout.node[ends]
        rows[:, 1], rows[:, 6] = OBLIVIOUS, self.nodes + np.cumsum(layout.depth)
        rows[:, 0] = rows[:, 6] - layout.depth
        rows[:, 5] = self._add_reals(forest.values[forest.left[leaves]]) + before * forest.values.shape[1]
        self._add_nodes(layout.node[heads], np.zeros(len(heads), dtype=np.int32), value[heads], feature[heads])

    # ---- additive models

    def add_additive(self, additive: Additive, feature: NDArray[np.int32]) -> None:
        """Add one term per column that has any weight."""
        outputs = len(additive.base)
        table = self._add_reals(additive.table)
        used = np.flatnonzero(feature >= 0)
        numbers = np.concatenate(
            [additive.low[used, None], additive.high[used, None], additive.weight[used], additive.missing[used]], axis=1
        )
        place = self._add_reals(numbers)
        terms = np.zeros((len(used), 4), dtype=np.int64)
        terms[:, 0], terms[:, 1] = feature[used], np.maximum(additive.table_start[used], -1)
        terms[:, 2] = place + np.arange(len(used)) * numbers.shape[1]
        self.terms.append(terms)
        begin, self._terms = self._terms, self._terms + len(used)
        base = self._add_reals(additive.base)
        link = LINK_CODES[additive.link]
        self.parts.append([1, link, outputs, begin, self._terms, base, table, len(additive.table)])


def _heads(layout: Layout, value: NDArray[np.uint32], feature: NDArray[np.int32]) -> NDArray[np.int64] | None:
    """Return the first node of each level of all trees; None where a tree is not full, or a level asks several questions."""
    if int(layout.depth.max(initial=0)) > DEEPEST_OBLIVIOUS:
        return None
    if not np.array_equal(np.diff(layout.begin), (2 << layout.depth) - 1):
        return None
    heads, tree = [layout.begin[:-1]], layout.tree
    for level in layout.levels():
        first = heads[-1][tree[level]]
        if not ((value[level] == value[first]) & (feature[level] == feature[first])).all():
            return None
        heads.append(heads[-1] + layout.delta[heads[-1]])
    asked = np.arange(len(heads) - 1) < layout.depth[:, None]
    return np.asarray(np.stack(heads, axis=1)[:, :-1][asked])


def _fill_nodes(
    forest: Forest, layout: Layout, sets: NDArray[np.int64], table: NDArray[np.int32], lowest: int
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return what the nodes of a layout compare with, and the columns of the block that they read."""
    if kernel is None:
        return _values(forest, sets)[layout.node], _columns_of(forest, table, lowest)[layout.node]
    value, column = np.empty(len(layout.node), dtype=np.uint32), np.empty(len(layout.node), dtype=np.int32)
    given = (
        forest.feature,
        forest.left,
        forest.threshold,
        forest.category,
        forest.missing_left,
        sets,
        table,
        layout.node,
    )
    kernel.fill_nodes(lowest, (*map(np.ascontiguousarray, given), value, column))
    return value, column


def _columns_of(forest: Forest, table: NDArray[np.int32], lowest: int) -> NDArray[np.int32]:
    inner = np.flatnonzero(forest.feature >= 0)
    column = np.full(len(forest.feature), lowest, dtype=np.int32)
    column[inner] = table[kinds_of(forest, inner), forest.feature[inner]]
    return column


def _flipped(forest: Forest) -> NDArray[np.bool_]:
    """Tell which nodes send missing values to the left, and no codes."""
    return np.asarray((forest.feature >= 0) & (forest.category < 0) & forest.missing_left)


def _values(forest: Forest, sets: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return what each node compares with, as bits; the number of its value for a leaf."""
    threshold, flipped = forest.threshold.copy(), _flipped(forest)
    # Missing goes left: ask the negated column whether it is below, with the children exchanged, so that
    # "not (value <= threshold)" sends missing to the second child, the left one.
    asked = threshold[flipped]
    with np.errstate(all="ignore"):
        negated = np.nextafter(-asked, np.float32(-np.inf))
    negated[np.isposinf(asked)] = np.nan
    negated[np.isnan(asked)] = np.inf
    threshold[flipped] = negated
    value = threshold.view(np.uint32)
    leaf = forest.feature < 0
    np.copyto(value, sets, where=~leaf & (forest.category >= 0), casting="unsafe")
    np.copyto(value, forest.left.view(np.uint32), where=leaf)
    return value
