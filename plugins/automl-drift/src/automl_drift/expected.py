"""The score that counts of certainties, or of predicted numbers, let expect where no label has come yet."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automl_core import DataError
from automl_drift.estimates import Estimate, contradiction
from automl_drift.performance import METRICS
from automl_drift.profile import Counts, Profile
from automl_drift.quality import violations
from automl_drift.said import PREDICTION
from automl_drift.watch import Report

__all__ = ["CERTAINTY", "Expected"]

Floats = NDArray[np.float64]
CERTAINTY = "(certainty)"
FEWEST = 100  # rows before an estimate
STRANGE = 0.05  # share of rows that training knew nothing like
NEAR = 0.05  # how far beyond held-out certainties others are like them: models of all folds are surer than those of one


class Expected:
    """Estimates a score before labels come, in constant memory, from what held-out rows like the recent ones lost.

    Rows are counted on the quantiles of held-out rows: of how certain a class is, for accuracy (CBPE: Bialek et al. 2024),
    or of the number that is predicted, for its error (direct loss estimation, by bins). Each bin counts with the mean loss
    of the held-out rows in it. Counts of workers add up. It assumes that the target means what it did; of the error also
    that rows of like predictions are as hard as they were.

    Args:
        profile: its name is the column that is counted; its edges hold all `values`.
        values, loss: of held-out rows, shape (rows,), finite.
        metric: whose score a mean loss is, a key of `automl_drift.performance.METRICS`.
        window: the latest rows that the estimate is of; earlier ones fade.
    """

    def __init__(self, profile: Profile, values: Floats, loss: Floats, *, metric: str, window: int) -> None:
        assert profile.edges is not None  # noqa: S101 - of numbers
        self.profile, self.metric, self._window = profile, metric, window
        sums, squares = (np.histogram(values, profile.edges, weights=part)[0] for part in (loss, loss**2))
        # A bin of few rows leans on all rows, as much as one more row would make it.
        rows = profile.counts[1:-2] + 1
        self._loss = np.pad((sums + loss.mean()) / rows, 1, mode="edge")
        self._square = np.pad((squares + (loss**2).mean()) / rows, 1, mode="edge")
        self._noise = np.maximum(self._square - self._loss**2, 0) / np.pad(rows, 1, constant_values=1)
        # Where rows gather in a bin they may lie at one end of it: up to half way to the loss of a neighbour. Not so
        # with certainties: what a bin of them loses is bound by how certain its ends are.
        steps = np.abs(np.diff(self._loss[1:-1])) * (0.0 if metric == "accuracy" else 0.5)
        self._step = np.pad(np.maximum(np.append(steps, 0), np.append(0, steps)), 1, mode="edge")
        self._shares = profile.counts[:-1] / profile.counts[:-1].sum()
        self._recent = np.zeros(len(profile.counts))

    @classmethod
    def of_classes(cls, certainty: ArrayLike, right: ArrayLike, *, window: int) -> Expected:
        """Estimate accuracy.

        Args:
            certainty: of held-out rows, the probability of the class that is said, shape (rows,).
            right: whether it was the true one.

        Raises:
            DataError: these are no probabilities, or not one truth for each.
        """
        p, was = np.asarray(certainty, dtype=np.float64), np.asarray(right, dtype=bool)
        if p.ndim != 1 or not len(p) or p.shape != was.shape or not ((p >= 0) & (p <= 1)).all():
            raise DataError(
                "an estimate of accuracy needs a probability from 0 to 1 and a truth for each held-out row."
            )
        profile = Profile.of(CERTAINTY, p)
        assert profile.edges is not None  # noqa: S101 - of numbers
        edges = np.concatenate([[profile.edges[0] - NEAR], profile.edges[1:-1], [profile.edges[-1] + NEAR]])
        return cls(replace(profile, edges=edges), p, (~was).astype(np.float64), metric="accuracy", window=window)

    @classmethod
    def of_numbers(cls, prediction: ArrayLike, error: ArrayLike, *, window: int, metric: str = "rmse") -> Expected:
        """Estimate RMSE or MAE.

        Args:
            prediction: of held-out rows, shape (rows,).
            error: truth less prediction, in the target's unit.
            metric: "rmse" or "mae".

        Raises:
            DataError: a number is not finite, or there is not one error for each prediction.
        """
        said, off = np.asarray(prediction, dtype=np.float64), np.asarray(error, dtype=np.float64)
        if said.ndim != 1 or not len(said) or said.shape != off.shape or not np.isfinite([said, off]).all():
            raise DataError("an estimate of the error needs a finite prediction and error for each held-out row.")
        loss = np.abs(off) if metric == "mae" else off**2
        return cls(Profile.of(PREDICTION, said), said, loss, metric=metric, window=window)

    def add(self, counts: Counts) -> None:
        """Take in counts on the bins of `profile`."""
        self._recent += counts
        self._recent *= min(1.0, self._window / max(float(self._recent.sum()), 1.0))

    def estimate(self, *, report: Report | None = None, labelled: tuple[float, float] | None = None) -> Estimate | None:
        """Return the score of recent rows, None for fewer than 100.

        Args:
            report: what is known of the inputs: values that training lacked make the estimate one that is not trusted.
            labelled: interval of the score of rows that have labels, where known.
        """
        known = self._recent[:-1]
        rows = float(known.sum())
        if rows < FEWEST:
            return None
        shares = known / rows
        loss = float(shares @ self._loss)
        margin = 1.96 * math.sqrt(max(float(shares @ self._square) - loss**2, 0.0) / rows + shares**2 @ self._noise)
        margin += float(np.maximum(shares - self._shares, 0) @ self._step)
        most = 1.0 if self.metric == "accuracy" else math.inf
        score = METRICS[self.metric][1]
        low, high = sorted((score(max(0.0, loss - margin)), score(min(most, loss + margin))))
        outside, what = 1 - known[1:-1].sum() / self._recent.sum(), self.profile.name.strip("()")
        reason = f"{outside:.0%} of rows have a {what} outside the reference's range" if outside > STRANGE else ""
        return Estimate(score(loss), low, high, reason or _strange(report) or contradiction((low, high), labelled))

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
