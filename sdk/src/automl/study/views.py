"""Columns that are derived from the encoded ones, safe within folds: target encodings, crosses, arithmetic.

What a view adds is a `Derived` column, so that a fitted model carries it along to wherever it predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Additive, Arithmetic, Column, Data, Derived, Flat, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BASE", "DERIVED", "PSEUDO", "VIEWS", "Recipe", "View", "make_recipe", "make_view", "to_base"]

BASE, ENCODED, DERIVED = "base", "encoded", "derived"
VIEWS = (BASE, ENCODED, DERIVED)
PSEUDO = "+unlabelled"  # ends the name of a view that holds rows with the labels of a model, too
MANY_LEVELS = 30  # from which on a category is replaced by its target encoding in the view "encoded"
SMOOTHING = 10.0  # rows that the prior weighs as much as (TabPrep's setting)
INNER_FOLDS = 5
MAX_ENCODED_CLASSES = 5
MAX_CROSSES, CROSS_COLUMNS = 15, 6
MAX_ARITHMETIC, ARITHMETIC_COLUMNS = 40, 6


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a view is made of.

    Attributes:
        keep: encoded columns that stay, in order.
        encodings: sets of categorical columns whose joint value is replaced by the target's mean.
        arithmetic: pairs of numeric columns.
    """

    keep: tuple[int, ...]
    encodings: tuple[tuple[int, ...], ...] = ()
    arithmetic: tuple[Arithmetic, ...] = ()

    @property
    def plain(self) -> bool:
        return not (self.encodings or self.arithmetic)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A table to fit on, and how its columns come from the encoded ones."""

    data: Data
    keep: NDArray[np.int32]
    derived: tuple[Derived, ...]


def make_recipe(view: str, data: Data, classes: int, importance: NDArray[np.float64] | None = None) -> Recipe:
    """Decide what a view adds to this table; the most important columns are combined first.

    Args:
        importance: float64 (columns,), any non-negative scale; None where nothing is known yet.
    """
    every = tuple(range(len(data.columns)))
    if view == BASE:
        return Recipe(every)
    order = np.argsort(-importance, kind="stable") if importance is not None else np.arange(len(every))
    many = [i for i, column in enumerate(data.columns) if column.categories > MANY_LEVELS]
    if view == ENCODED:
        return Recipe(tuple(i for i in every if i not in many), tuple((i,) for i in many))
    categories = [int(i) for i in order if data.columns[i].categories > 2]
    numbers = [int(i) for i in order if not data.columns[i].categorical][:ARITHMETIC_COLUMNS]
    crossable = [int(i) for i in order if data.columns[i].categories > 1][:CROSS_COLUMNS]
    crosses = [tuple(sorted(pair)) for pair in combinations(crossable, 2)][:MAX_CROSSES]
    pairs = [Arithmetic(o, a, b) for a, b in combinations(numbers, 2) for o in "-/*"][:MAX_ARITHMETIC]
    return Recipe(every, (*((i,) for i in categories[:30]), *crosses), tuple(pairs))


def make_view(data: Data, recipe: Recipe, train: NDArray[np.int64], *, classes: int, seed: int, key: str) -> View:
    """Return the table that a recipe makes, its target statistics taken from the training rows alone.

    A training row's own statistic leaves its part of the training rows out, so that no row sees its own target.
    """
    keep = np.array(recipe.keep, dtype=np.int32)
    if recipe.plain and len(keep) == len(data.columns):
        return View(data, keep, ())
    blocks: list[NDArray[np.float32]] = [data.values[:, keep]]
    derived: list[Derived] = []
    for source in recipe.encodings:
        for lookup, column in _encode(data, source, train, classes, seed):
            derived.append(lookup)
            blocks.append(column[:, None])
    for item in recipe.arithmetic:
        derived.append(item)
        blocks.append(compute_arithmetic(item, data.values)[:, None])
    names = [f"derived{i}" for i in range(len(derived))]
    columns = (*(data.columns[i] for i in keep), *(Column(name) for name in names))
    values = np.ascontiguousarray(np.concatenate(blocks, axis=1), dtype=np.float32)
    return View(replace(data, values=values, columns=columns, key=key), keep, tuple(derived))


def to_base(flat: Flat, view: View, columns: int) -> Flat:
    """Rewrite a model of a view as a model of the encoded columns.

    Raises:
        ValueError: the model derives columns from derived ones, which a flat model cannot say.
    """
    kept, added = len(view.keep), len(view.derived)
    if not added and kept == columns:
        return flat
    own = tuple(_shift(item, view.keep) for item in flat.derived)
    derived = (*view.derived, *own)
    # Column numbers of the view: kept ones, then the view's derived ones, then the model's own derived ones.
    places = np.concatenate([view.keep, columns + np.arange(added + len(own), dtype=np.int32)]).astype(np.int32)
    if isinstance(flat, Additive):
        return _widen(flat, places, columns, derived)
    feature = np.where(flat.feature >= 0, places[np.maximum(flat.feature, 0)], flat.feature)
    return replace(flat, columns=columns, feature=feature.astype(np.int32), derived=derived)


def _widen(flat: Additive, places: NDArray[np.int32], columns: int, derived: tuple[Derived, ...]) -> Additive:
    width, outputs = columns + len(derived), flat.weight.shape[1]
    weight, missing = np.zeros((width, outputs)), np.zeros((width, outputs))
    low, high = np.full(width, -np.inf), np.full(width, np.inf)
    start = np.full(width, -1, dtype=np.int32)
    weight[places], missing[places] = flat.weight, flat.missing
    low[places], high[places], start[places] = flat.low, flat.high, flat.table_start
    return replace(
        flat, columns=columns, weight=weight, missing=missing, low=low, high=high, table_start=start, derived=derived
    )


def _shift(item: Derived, keep: NDArray[np.int32]) -> Derived:
    sources = item.source if isinstance(item, Lookup) else np.array([item.left, item.right])
    if len(sources) and int(sources.max()) >= len(keep):
        raise ValueError("a derived column of a derived column")
    if isinstance(item, Lookup):
        return replace(item, source=keep[item.source])
    return Arithmetic(item.operator, int(keep[item.left]), int(keep[item.right]))


# ---- arithmetic


def compute_arithmetic(item: Arithmetic, values: NDArray[np.float32]) -> NDArray[np.float32]:
    left, right = values[:, item.left], values[:, item.right]
    operate = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[item.operator]
    with np.errstate(all="ignore"):
        result: NDArray[np.float32] = operate(left, right, dtype=np.float32)
    result[~np.isfinite(result)] = np.nan
    return result


# ---- target encoding

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MISSING_DIGIT = 0xFFFFFFFF


def category_keys(values: NDArray[np.float32], source: Sequence[int]) -> NDArray[np.uint64]:
    """Return the keys of `automl_core.Lookup` for categorical columns."""
    key = np.zeros(len(values), dtype=np.uint64)
    for column in source:
        codes = values[:, column]
        digit = np.where(np.isnan(codes), MISSING_DIGIT, codes).astype(np.uint64)
        key = (key ^ (digit + np.uint64(1))) * GOLDEN
        key ^= key >> np.uint64(32)
    return key


def _encode(
    data: Data, source: Sequence[int], train: NDArray[np.int64], classes: int, seed: int
) -> list[tuple[Lookup, NDArray[np.float32]]]:
    keys, group = np.unique(category_keys(data.values, source), return_inverse=True)
    rng = np.random.default_rng([seed, *source])
    inner = rng.permutation(len(train)) % INNER_FOLDS
    weight = np.ones(len(train)) if data.weight is None else data.weight[train]
    return [_encode_one(keys, group, train, inner, target, weight, source) for target in _targets(data.target, classes)]


def _targets(target: NDArray[np.float64], classes: int) -> list[NDArray[np.float64]]:
    if classes == 0:
        return [target]
    if classes == 2:
        return [target]
    if classes <= MAX_ENCODED_CLASSES:
        return [(target == k).astype(np.float64) for k in range(classes)]
    return []


def _encode_one(
    keys: NDArray[np.uint64],
    group: NDArray[np.int64],
    train: NDArray[np.int64],
    inner: NDArray[np.int64],
    target: NDArray[np.float64],
    weight: NDArray[np.float64],
    source: Sequence[int],
) -> tuple[Lookup, NDArray[np.float32]]:
    size, member = len(keys), group[train]
    mass, hits = weight, weight * target[train]
    prior = float(hits.sum() / mass.sum()) if mass.sum() > 0 else 0.0
    # Sums by (inner fold, group), so that each fold can be left out of its own statistic.
    cell = inner * size + member
    masses = np.bincount(cell, weights=mass, minlength=INNER_FOLDS * size).reshape(INNER_FOLDS, size)
    sums = np.bincount(cell, weights=hits, minlength=INNER_FOLDS * size).reshape(INNER_FOLDS, size)
    whole = (sums.sum(axis=0) + SMOOTHING * prior) / (masses.sum(axis=0) + SMOOTHING)
    without = (sums.sum(axis=0) - sums + SMOOTHING * prior) / (masses.sum(axis=0) - masses + SMOOTHING)
    column = whole[group].astype(np.float32)
    column[train] = without[inner, member]
    seen = masses.sum(axis=0) > 0
    lookup = Lookup(
        source=np.array(source, dtype=np.int32),
        threshold=np.full(len(source), np.nan, dtype=np.float32),
        equal=np.zeros(len(source), dtype=np.bool_),
        keys=keys[seen],
        values=whole[seen].astype(np.float32),
        default=prior,
    )
    return lookup, column
