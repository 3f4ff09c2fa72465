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

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_sklearn.design import Inputs
    from automl_sklearn.rows import Clock

__all__ = ["PENALTIES", "Coefficients", "Loss", "Sample", "loss_of", "walk"]

# Factors of half the squared weights, beside the mean loss of standardised inputs.
PENALTIES = tuple(10.0 ** (-step / 2) for step in range(13))
STEPS = 60  # at most, for each penalty
PATIENCE = 3  # penalties without an improvement on the watched rows


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Inputs, the target as a matrix (rows, outputs), and weights (rows,) that sum to one."""

    inputs: Inputs
    target: NDArray[np.float64]
    weight: NDArray[np.float64]


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


def walk(
    sample: Sample,
    loss: Loss,
    start: Coefficients,
    clock: Clock,
    *,
    penalties: Sequence[float] = PENALTIES,
    watch: Sample | None = None,
) -> tuple[Coefficients, float]:
    """Fit along `penalties`, strongest first, and return the best fit on `watch` with its penalty.

    Without `watch` the last one counts. Ends early when the clock runs out, or `watch` stops improving.
    """
    best, best_penalty, best_loss, since = start, penalties[0], np.inf, 0
    current = start
    for penalty in penalties:
        current = _solve(sample, loss, current, penalty, clock)
        value = _mean_loss(watch, loss, current) if watch is not None else -np.inf
        if value < best_loss or watch is None:
            best, best_penalty, best_loss, since = current, penalty, value, 0
        else:
            since += 1
        if since >= PATIENCE or clock.left <= 0:
            break
    return best, best_penalty


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
