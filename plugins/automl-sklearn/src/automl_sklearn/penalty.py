"""Generalised linear fits over a path of penalties, within a wall clock.

scikit-learn's own solvers cannot be stopped by a clock, nor take dense and sparse columns side by side, so the loss
goes to scipy's L-BFGS-B, the one that `LogisticRegression` uses. The path from strong to weak penalties, each starting
where the last one ended, with early stopping, is that of glmnet (Friedman et al. 2010, section 2.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logsumexp

from automl_sklearn.rows import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_sklearn.design import Inputs
__all__ = ["PENALTIES", "TINY", "Coefficients", "Loss", "Sample", "Walk", "cross_validate", "loss_of", "walk"]

# Factors of half the squared weights, beside the mean loss of standardised inputs.
PENALTIES = tuple(10.0 ** (-step / 2) for step in range(13))
STEPS = 60  # at most, for each penalty
TINY = 1e-300  # keeps weights that are all zero from dividing by zero
FIFTHS = 5
PATIENCE = 3  # penalties without an improvement on the watched rows


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Inputs, the target as a matrix (rows, outputs), and weights (rows,) that sum to one."""

    inputs: Inputs
    target: NDArray[np.float64]
    weight: NDArray[np.float64]

    def subset(self, rows: NDArray[np.int64]) -> Sample:
        weight = self.weight[rows]
        return Sample(self.inputs.subset(rows), self.target[rows], weight / max(float(weight.sum()), TINY))


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """float64 weights (inputs, outputs) and intercept (outputs,)."""

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]


class Loss(Protocol):
    """From raw (rows, outputs) and target to the loss of each row and its gradient by raw."""

    def __call__(
        self, raw: NDArray[np.float64], target: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...


def loss_of(task: str) -> Loss:
    return {"binary": _logistic, "multiclass": _softmax, "regression": _squared}[task]


def _squared(raw: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    off = raw - target
    return 0.5 * (off**2).sum(axis=1), off


def _logistic(raw: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return (np.logaddexp(0, raw) - target * raw).sum(axis=1), expit(raw) - target


def _softmax(raw: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = logsumexp(raw, axis=1, keepdims=True)
    return total[:, 0] - (raw * target).sum(axis=1), np.exp(raw - total) - target


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """What a path came to: the best fit, its penalty, and the watched loss at each penalty that was reached."""

    best: Coefficients
    penalty: float
    losses: tuple[float, ...]


def walk(
    sample: Sample,
    loss: Loss,
    start: Coefficients,
    clock: Clock,
    *,
    penalties: Sequence[float] = PENALTIES,
    watch: Sample | None = None,
) -> Walk:
    """Fit along `penalties`, strongest first; the best fit is the best on `watch`, or the last one without.

    Ends early when the clock runs out, or `watch` stops improving.
    """
    best, best_penalty, losses = start, penalties[0], list[float]()
    current = start
    for penalty in penalties:
        current = _solve(sample, loss, current, penalty, clock)
        value = _mean_loss(watch, loss, current) if watch is not None else 0.0
        if watch is None or value < min(losses, default=np.inf):
            best, best_penalty = current, penalty
        losses.append(value)
        if clock.left <= 0 or (len(losses) - 1 - int(np.argmin(losses)) >= PATIENCE and watch is not None):
            break
    return Walk(best, best_penalty, tuple(losses))


def cross_validate(
    sample: Sample, loss: Loss, start: Coefficients, clock: Clock, order: NDArray[np.int64], *, folds: int
) -> float:
    """Return the penalty of the least mean loss on up to `folds` fifths of the rows, in the given order of rows.

    Takes no more than half of the time left.
    """
    curves: list[tuple[float, ...]] = []
    limit = clock.left / 2
    for fold in range(folds):
        part = np.arange(len(order)) % FIFTHS == fold
        kept, out = sample.subset(order[~part]), sample.subset(order[part])
        own = Clock(limit / folds if np.isfinite(limit) else None)
        curves.append(walk(kept, loss, start, own, watch=out).losses)
    length = min(len(curve) for curve in curves)
    mean = np.mean([curve[:length] for curve in curves], axis=0)
    best: float = PENALTIES[int(np.argmin(mean))]
    return best


def _mean_loss(sample: Sample, loss: Loss, at: Coefficients) -> float:
    losses, _ = loss(sample.inputs.dot(at.weights) + at.intercept, sample.target)
    return float(losses @ sample.weight)


def _solve(sample: Sample, loss: Loss, start: Coefficients, penalty: float, clock: Clock) -> Coefficients:
    shape = start.weights.shape
    size = start.weights.size

    def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, intercept = flat[:size].reshape(shape), flat[size:]
        losses, slope = loss(sample.inputs.dot(weights) + intercept, sample.target)
        slope *= sample.weight[:, None]
        gradient = sample.inputs.transpose_dot(slope) + penalty * weights
        value = float(losses @ sample.weight) + 0.5 * penalty * float((weights**2).sum())
        return value, np.concatenate([gradient.ravel(), slope.sum(axis=0)])

    def stop_in_time(_: NDArray[np.float64]) -> None:
        if clock.left <= 0:
            raise StopIteration

    first = np.concatenate([start.weights.ravel(), start.intercept])
    options = {"maxiter": STEPS, "ftol": 1e-8, "gtol": 1e-5}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", callback=stop_in_time, options=options).x
    return Coefficients(found[:size].reshape(shape), found[size:])
