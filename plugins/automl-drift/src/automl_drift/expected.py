"""The accuracy that counts of certainties let expect, where no label has come yet."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from automl_core import DataError
from automl_drift.estimates import Estimate, contradiction
from automl_drift.profile import Counts, Profile
from automl_drift.quality import violations
from automl_drift.watch import Report

__all__ = ["CERTAINTY", "Expected"]

CERTAINTY = "(certainty)"
FEWEST = 100  # rows before an estimate
STRANGE = 0.05  # share of rows that training knew nothing like
NEAR = 0.05  # how far beyond held-out certainties others are like them: models of all folds are surer than those of one


class Expected:
    """Estimates accuracy from how certain predictions are (CBPE: Bialek et al. 2024), in constant memory.

    Certainties are counted on the quantiles of held-out rows, and each bin counts as right as often as held-out rows in it
    were: calibration by bins. Counts of workers add up. It assumes that the target means what it did.

    Args:
        certainty: of held-out rows, the probability of the class that is said, shape (rows,).
        right: whether it was the true one.
        window: the latest rows that the estimate is of; earlier ones fade.

    Raises:
        DataError: these are no probabilities, or not one truth for each.
    """

    def __init__(self, certainty: ArrayLike, right: ArrayLike, *, window: int) -> None:
        p, was = np.asarray(certainty, dtype=np.float64), np.asarray(right, dtype=bool)
        if p.ndim != 1 or not len(p) or p.shape != was.shape or not ((p >= 0) & (p <= 1)).all():
            raise DataError(
                "an estimate of accuracy needs a probability from 0 to 1 and a truth for each held-out row."
            )
        profile = Profile.of(CERTAINTY, p)
        assert profile.edges is not None  # noqa: S101 - of numbers
        edges = np.concatenate([[profile.edges[0] - NEAR], profile.edges[1:-1], [profile.edges[-1] + NEAR]])
        self.profile, self._window = replace(profile, edges=edges), window
        known = self.profile.counts[:-1]
        # A bin of few rows leans on all rows, as much as one more row would make it.
        rates = (self.profile.count(p[was])[:-1] + was.mean()) / (known + 1)
        rates[0], rates[-1] = rates[1], rates[-2]
        self._rates, self._noise = rates, rates * (1 - rates) / (known + 1)
        self._recent = np.zeros(len(self.profile.counts))

    def add(self, counts: Counts) -> None:
        """Take in counts on the bins of `profile`."""
        self._recent += counts
        self._recent *= min(1.0, self._window / max(float(self._recent.sum()), 1.0))

    def estimate(self, *, report: Report | None = None, labelled: tuple[float, float] | None = None) -> Estimate | None:
        """Return the accuracy of recent rows, None for fewer than 100.

        Args:
            report: what is known of the inputs: values that training lacked make the estimate one that is not trusted.
            labelled: interval of the accuracy of rows that have labels, where known.
        """
        known = self._recent[:-1]
        rows = float(known.sum())
        if rows < FEWEST:
            return None
        shares = known / rows
        value = float(shares @ self._rates)
        margin = 1.96 * math.sqrt(value * (1 - value) / rows + float(shares**2 @ self._noise))
        low, high = max(0.0, value - margin), min(1.0, value + margin)
        outside = float(1 - known[1:-1].sum() / self._recent.sum())
        reason = f"{outside:.0%} of the certainties lie outside the reference's range" if outside > STRANGE else ""
        return Estimate(value, low, high, reason or _strange(report) or contradiction((low, high), labelled))

    def state(self) -> list[float]:
        return list(self._recent.tolist())

    def restore(self, state: Any) -> None:
        self._recent = np.array(state, dtype=np.float64)


def _strange(report: Report | None) -> str:
    for item in () if report is None else report.findings:
        for check, share in violations(item).items():
            if check != "missing" and share > STRANGE:
                return f"{share:.0%} of rows have a value of {item.profile.name!r} that training lacked"
    return ""
