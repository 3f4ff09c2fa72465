r"""Evidence against "these rows and the reference come from one distribution", for one feature.

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

import numpy as np
from numpy.typing import NDArray

from automl_drift.profile import Counts, Profile

__all__ = ["Evidence"]

# Shifts of a standardised score in standard deviations, and of the log odds of one bin.
TILTS = np.array([0.1, 0.25, 0.6, -0.1, -0.25, -0.6])
ODDS = np.array([0.4, 1.6, 3.5, -0.4, -1.6])
DEGREES = 4  # location, scale and two more of shape: Neyman's smooth test
CEILING = 600.0  # of the logarithm: enough evidence for anything, and no overflow


class Evidence:
    """A Shiryaev-Roberts sum in rows: `log` is the logarithm of its value now."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._basis = _basis(profile)
        single = len(profile.counts) if profile.edges is None else 3
        self._places = np.arange(single) if profile.edges is None else np.array([0, -2, -1])
        smooth = len(self._basis) * len(TILTS)
        weights = np.full(smooth + single * len(ODDS), 1.0)
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
        self.pool = self.profile.counts.copy()
        self.sums = np.full(len(self._log_weights), -np.inf)
        self.log = -np.inf

    def add(self, counts: Counts) -> None:
        """Take in a batch of at least one row."""
        rows = counts.sum()
        total = self.pool + counts
        sample, sign = (counts, 1.0) if 2 * rows <= total.sum() else (self.pool, -1.0)
        gains = self._gains(sample, total / total.sum(), sign)
        self.sums = np.minimum(np.logaddexp(self.sums, np.log(rows)) + gains, CEILING)
        self.log = float(np.logaddexp.reduce(self.sums + self._log_weights))
        self.pool = total

    def _gains(self, sample: Counts, shares: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
        """Return the logarithm of the e-value of each component."""
        rows = sample.sum()
        odds = sign * ODDS[:, None]
        single: NDArray[np.float64] = odds * sample[self._places] - rows * np.log1p(
            shares[self._places] * np.expm1(odds)
        )
        if not len(self._basis):
            return single.ravel()
        tilts = sign * TILTS
        moments = np.exp(self._basis[:, None, :] * tilts[:, None]) @ shares
        smooth = (self._basis @ sample)[:, None] * tilts - rows * np.log(moments)
        gains: NDArray[np.float64] = np.concatenate([smooth.ravel(), single.ravel()])
        return gains


def _basis(profile: Profile) -> NDArray[np.float64]:
    """Return Legendre polynomials of the bins' middle ranks, of unit variance; zero for missing values."""
    if profile.edges is None:
        return np.zeros((0, len(profile.counts)))
    inner = profile.counts[:-1]
    ranks = (np.cumsum(inner) - inner / 2) / max(inner.sum(), 1)
    rows = [
        np.polynomial.Legendre.basis(degree, domain=[0, 1])(ranks) * np.sqrt(2 * degree + 1)
        for degree in range(1, DEGREES + 1)
    ]
    return np.column_stack([np.stack(rows), np.zeros(DEGREES)])
