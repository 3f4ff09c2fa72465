"""Warnings that a score may be too good to be true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.metrics import binary_auc
from automl_core import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["find_leaks"]

MAX_ROWS = 5_000
BINS = 64
SURE_AUC, SURE_R2 = 0.995, 0.97
TWINS = 0.05
MIN_ROWS = 50


def find_leaks(data: Data, classes: int, *, seed: int = 0) -> list[str]:
    """Return a warning for every column that tells the target alone, and one for rows that appear more than once.

    A column is judged by the target's mean in its bins, learned on one half of up to 5,000 rows and judged on the
    other.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data.target))[:MAX_ROWS]
    if len(rows) < MIN_ROWS:
        return []
    found = []
    for place, column in enumerate(data.columns):
        strength, name = _strength(_to_bins(data.values[rows, place], column.categorical), data.target[rows], classes)
        if strength >= (SURE_R2 if classes == 0 else SURE_AUC):
            found.append(
                f"column {column.name!r} tells the target almost alone ({name} {strength:.3f}): "
                "is it known when the model predicts?"
            )
    twins = _twins(data)
    if twins > TWINS:
        found.append(
            f"{twins:.0%} of the rows have a twin that is equal in all columns: if they belong together, name their `groups`."
        )
    return found


def _to_bins(values: NDArray[np.float32], categorical: bool) -> NDArray[np.int64]:
    missing = np.isnan(values)
    if categorical:
        return np.where(missing, 0, np.nan_to_num(values) + 1).astype(np.int64)
    if missing.all():
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(values[~missing], np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.where(missing, 0, np.searchsorted(edges, np.nan_to_num(values), side="right") + 1)


def _strength(bins: NDArray[np.int64], target: NDArray[np.float64], classes: int) -> tuple[float, str]:
    half = len(bins) // 2
    if classes == 0:
        said = _bin_means(bins, target, half)
        truth = target[half:]
        spread = float(((truth - truth.mean()) ** 2).mean())
        return (1 - float(((truth - said) ** 2).mean()) / spread if spread > 0 else 0.0), "R2"
    areas = []
    for label in range(classes if classes > 2 else 1):
        hit = (target == (label if classes > 2 else 1)).astype(np.float64)
        if 0 < hit[half:].sum() < len(hit) - half:
            areas.append(binary_auc(hit[half:] == 1, _bin_means(bins, hit, half), None))
    return (float(np.mean(areas)) if areas else 0.5), "AUC"


def _bin_means(bins: NDArray[np.int64], target: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    size = int(bins.max()) + 1
    mass = np.bincount(bins[:half], minlength=size)
    sums = np.bincount(bins[:half], weights=target[:half], minlength=size)
    prior = target[:half].mean()
    means = (sums + prior) / (mass + 1)
    return np.asarray(means[bins[half:]])


def _twins(data: Data) -> float:
    """Return the share of rows that equal an earlier one in all columns."""
    rows = np.ascontiguousarray(data.values[: 10 * MAX_ROWS])
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return 1 - len(np.unique(keys)) / len(keys)
