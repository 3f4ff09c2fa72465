"""How far apart two distributions are: from values, or from counts on the same bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automl_core import DataError

__all__ = [
    "chi_square",
    "jensen_shannon",
    "ks",
    "ks_of_counts",
    "psi",
    "quantile_bins",
    "total_variation",
    "wasserstein",
]


def ks(reference: ArrayLike, current: ArrayLike) -> tuple[float, float]:
    """Return the two-sample Kolmogorov-Smirnov statistic and its p-value."""
    from scipy.stats import ks_2samp

    found = ks_2samp(_finite(reference), _finite(current))
    return float(found.statistic), float(found.pvalue)


def wasserstein(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the distance of Wasserstein, in the values' own unit."""
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(_finite(reference), _finite(current)))


def quantile_bins(reference: ArrayLike, current: ArrayLike, bins: int = 10) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count both samples on the reference's quantiles with open ends, so that no outlier moves a bin."""
    inner = np.unique(np.quantile(_finite(reference), np.linspace(0, 1, bins + 1)[1:-1]))

    def count(values: ArrayLike) -> NDArray[Any]:
        return np.bincount(np.searchsorted(inner, _finite(values), side="right"), minlength=len(inner) + 1)

    return count(reference), count(current)


def psi(reference: ArrayLike, current: ArrayLike, *, floor: float = 1e-4) -> float:
    """Return the population stability index of counts; an empty bin counts as a share of `floor`."""
    p, q = _shares(reference, current)
    p, q = np.where(p == 0, floor, p), np.where(q == 0, floor, q)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(reference: ArrayLike, current: ArrayLike, *, base: float = 2.0) -> float:
    """Return the distance of Jensen and Shannon (the root of the divergence) of counts."""
    # Not scipy's, whose import takes longer than a monitor may wait.
    p, q = _shares(reference, current)
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / middle), 0) + np.where(q > 0, q * np.log(q / middle), 0)
    return float(np.sqrt(max(terms.sum() / 2 / np.log(base), 0.0)))


def chi_square(reference: ArrayLike, current: ArrayLike) -> tuple[float, float, int]:
    """Return statistic, p-value and degrees of freedom of the test that both counts come from one distribution.

    Homogeneity, not goodness of fit: a level that the reference lacks does not make the p-value zero.
    """
    from scipy.stats import chi2_contingency

    table = np.stack([np.asarray(reference), np.asarray(current)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 0.0, 1.0, 0
    found = chi2_contingency(table, correction=False)
    return float(found.statistic), float(found.pvalue), int(found.dof)


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    p, q = _shares(reference, current)
    return float(np.abs(p - q).sum() / 2)


def ks_of_counts(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the largest difference of both cumulative shares, over the bins' order."""
    p, q = _shares(reference, current)
    return float(np.abs(np.cumsum(p - q)).max())


def _shares(reference: ArrayLike, current: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise DataError(f"counts of shapes {p.shape} and {q.shape} cannot be compared; count both on the same bins.")
    if p.sum() <= 0 or q.sum() <= 0:
        raise DataError("one of two distributions has no rows; give at least one row each.")
    return p / p.sum(), q / q.sum()


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        raise DataError("one of two samples has no finite value; give at least one.")
    return array
