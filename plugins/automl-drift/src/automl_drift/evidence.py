r"""Evidence against "these rows and the reference come from one distribution", feature by feature.

Given the sum T of the pool's and a batch's counts, with N rows in all, exchangeability makes the batch a draw of n rows
without replacement. For scores s of the bins and any tilt t, Hoeffding (1963, theorem 4) bounds the moment:

    E exp(t * sum(s * c)) <= (sum(T / N * exp(t * s))) ** n,

so the ratio of both sides is an e-value whatever n, the bins and the reference's size; the other part of the sum is
used where it is the smaller one. After each batch the pool takes it in, so that a finite reference, itself off by
1 / sqrt(rows), is not "detected" by much traffic. A Shiryaev-Roberts sum over start times of the products of e-values
(an e-detector: Shin, Ramdas, Rinaldo 2024) reaches A after A rows on average at the soonest; averages of such sums, over
tilts, scores and features, keep that under any dependence between them. The bound holds for e-values that depend on the
past through a nearly pivotal law only; the simulations in the tests check what it comes to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_drift.profile import Counts, Profile

__all__ = ["Evidence"]

Floats = NDArray[np.float64]
# Shifts of a standardised score in standard deviations, the second half the first with its sign turned; and shifts of the
# log odds of one bin.
TILTS = np.array([0.1, 0.25, 0.6, -0.1, -0.25, -0.6])
ODDS = np.array([0.4, 1.6, 3.5, -0.4, -1.6])
DEGREES = 4  # location, scale and two more of shape: Neyman's smooth test
CEILING = 600.0  # of the logarithm: enough evidence for anything, and no overflow


class Evidence:
    """A Shiryaev-Roberts sum in rows for each of some features: `logs`, float64, are the logarithms of their values now.

    Features are computed together, as calls of numpy would take most of the time otherwise.

    Args:
        profiles: of one kind of bins (edges or levels), with the same number of counts.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = tuple(profiles)
        ordered = profiles[0].edges is not None
        self._basis = np.stack([_basis(profile) for profile in profiles])
        self._places = np.array([0, -2, -1]) if ordered else np.arange(len(profiles[0].counts))
        smooth = self._basis.shape[1] * len(TILTS)
        weights = np.full(smooth + len(self._places) * len(ODDS), 1.0)
        if smooth:
            # Half of the weight on the location, as most drift moves it.
            weights[: len(TILTS)] = 0.5 / len(TILTS)
            weights[len(TILTS) :] = 0.5 / (len(weights) - len(TILTS))
        else:
            weights /= len(weights)
        self._log_weights = np.log(weights)
        self.restart()

    def restart(self) -> None:
        """Forget all but the reference."""
        self.pool = np.stack([profile.counts for profile in self.profiles])
        self.sums = np.full((len(self.profiles), len(self._log_weights)), -np.inf)
        self.logs = np.full(len(self.profiles), -np.inf)

    def add(self, counts: Counts, rows: int) -> None:
        """Take in a batch: counts of shape (features, bins), each feature's of `rows` rows, at least one."""
        total = self.pool + counts
        whole = total.sum(axis=1, keepdims=True)
        ours = 2 * rows <= whole
        gains = self._gains(np.where(ours, counts, self.pool), total / whole, np.where(ours, 1.0, -1.0))
        self.sums = np.minimum(np.log(np.exp(self.sums) + rows) + gains, CEILING)
        self.logs = np.logaddexp.reduce(self.sums + self._log_weights, axis=1)
        self.pool = total

    def _gains(self, sample: Counts, shares: Floats, sign: Floats) -> Floats:
        """Return the logarithm of the e-value of each component, shape (features, components)."""
        features, rows = len(sample), sample.sum(axis=1)[:, None, None]
        odds = sign[:, :, None] * ODDS[:, None]
        single = odds * sample[:, None, self._places] - rows * np.log1p(shares[:, None, self._places] * np.expm1(odds))
        if not self._basis.shape[1]:
            return np.asarray(single.reshape(features, -1))
        tilts = (sign * TILTS)[:, None, :]
        half = np.exp(self._basis[:, :, None, :] * tilts[:, :, : len(TILTS) // 2, None])
        moments = np.einsum("fdtb,fb->fdt", np.concatenate([half, 1 / half], axis=2), shares)
        smooth = (self._basis @ sample[:, :, None]) * tilts - rows * np.log(moments)
        return np.concatenate([smooth.reshape(features, -1), single.reshape(features, -1)], axis=1)


def _basis(profile: Profile) -> NDArray[np.float32]:
    """Return Legendre polynomials of the bins' middle ranks, of unit variance; zero for missing values.

    Any scores are as good as these, so that they may be rounded for the sake of memory.
    """
    if profile.edges is None:
        return np.zeros((0, len(profile.counts)), dtype=np.float32)
    inner = profile.counts[:-1]
    ranks = (np.cumsum(inner) - inner / 2) / max(inner.sum(), 1)
    rows = [
        np.polynomial.Legendre.basis(degree, domain=[0, 1])(ranks) * np.sqrt(2 * degree + 1)
        for degree in range(1, DEGREES + 1)
    ]
    return np.column_stack([np.stack(rows), np.zeros(DEGREES)]).astype(np.float32)
