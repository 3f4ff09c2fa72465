"""Which rows learn and which judge: the same splits for every model of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Split", "make_splits"]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row numbers, int64, sorted. A row may be in neither part, as in splits by time."""

    train: NDArray[np.int64]
    valid: NDArray[np.int64]


def make_splits(
    target: NDArray[np.float64],
    *,
    classes: int,
    folds: int,
    seed: int,
    holdout: float = 0.2,
    groups: NDArray[np.int64] | None = None,
    time: NDArray[Any] | None = None,
) -> list[Split]:
    """Split rows into `folds` parts, or into one training and one validation part where `folds` is 1.

    Classes, or quantiles of a number, are spread evenly. A class always keeps a member in the training part, so the
    only member of a class judges nobody. Rows of a group stay together. With `time`, each part is judged by models
    of the rows before it (Bergmeir and Benítez 2012).
    """
    if time is not None:
        return _by_time(np.asarray(time), folds, holdout)
    rng = np.random.default_rng(seed)
    parts = folds if folds > 1 else max(2, round(1 / holdout))
    if groups is not None:
        label = _by_group(groups, parts, rng)
    else:
        label = _by_target(target, classes, parts, rng)
    return [_split(label, part) for part in range(folds)]


def _split(label: NDArray[np.int64], part: int) -> Split:
    return Split(np.flatnonzero(label != part), np.flatnonzero(label == part))


def _by_target(target: NDArray[np.float64], classes: int, parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Deal rows to parts in the order of their target; -1 for a row that no part judges."""
    shuffled = rng.permutation(len(target))
    order = shuffled[np.argsort(target[shuffled], kind="stable")]
    label = np.empty(len(target), dtype=np.int64)
    if classes == 0:
        # Every run of `parts` neighbours gives one row to each part, in a random order.
        runs = -(-len(target) // parts)
        dealt = rng.permuted(np.tile(np.arange(parts), (runs, 1)), axis=1).ravel()
        label[order] = dealt[: len(target)]
        return label
    label[order] = (np.arange(len(target)) + rng.integers(parts)) % parts
    counts = np.bincount(target.astype(np.int64), minlength=classes)
    for rare in np.flatnonzero((counts > 0) & (counts < parts)):
        members = np.flatnonzero(target == rare)
        # Different parts for each of the class's few rows; the first of them judges nobody when it is alone.
        label[members] = rng.permutation(parts)[: len(members)] if len(members) > 1 else -1
    return label


def _by_group(groups: NDArray[np.int64], parts: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the largest group first to the part that is smallest so far."""
    names, member, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    size, home = np.zeros(parts), np.empty(len(names), dtype=np.int64)
    for group in order:
        home[group] = size.argmin()
        size[home[group]] += counts[group]
    return home[member]


def _by_time(time: NDArray[Any], folds: int, holdout: float) -> list[Split]:
    order = np.argsort(time, kind="stable")
    if folds == 1:
        cut = len(order) - max(1, round(len(order) * holdout))
        return [Split(np.sort(order[:cut]), np.sort(order[cut:]))]
    blocks = np.array_split(order, folds + 1)
    return [Split(np.sort(np.concatenate(blocks[: part + 1])), np.sort(blocks[part + 1])) for part in range(folds)]
