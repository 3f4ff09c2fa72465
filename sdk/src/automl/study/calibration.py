"""One temperature for probabilities, and one threshold for labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import Metric, log_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["apply_temperature", "choose_temperature", "choose_threshold"]

PRIOR_ROWS = 200  # the prior that no temperature is needed weighs as much as so many rows
MIN_GAIN = 0.001  # of the log loss, by cross-validation
GRID = np.exp(np.linspace(np.log(0.5), np.log(2.0), 57))
FOLDS = 5


def apply_temperature(probability: NDArray[Any], temperature: float) -> NDArray[Any]:
    """Return probabilities to the power of 1 / temperature, renormalised (Guo et al. 2017)."""
    logs = np.log(np.clip(probability, 1e-15, None)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def choose_temperature(target: NDArray[Any], probability: NDArray[Any], weight: NDArray[Any] | None) -> float:
    """Return the temperature with the least log loss, shrunk to 1; 1 where it does not pay on held-out folds."""
    losses = np.array([_fold_losses(target, apply_temperature(probability, t), weight) for t in GRID])
    penalty = np.log(GRID) ** 2 * PRIOR_ROWS / len(target)
    plain = _fold_losses(target, probability, weight)
    held_out = 0.0
    for fold in range(FOLDS):
        others = np.delete(losses, fold, axis=1).mean(axis=1)
        held_out += losses[(others + penalty).argmin(), fold] / FOLDS
    if plain.mean() - held_out < MIN_GAIN * plain.mean():
        return 1.0
    return float(GRID[(losses.mean(axis=1) + penalty).argmin()])


def _fold_losses(target: NDArray[Any], probability: NDArray[Any], weight: NDArray[Any] | None) -> NDArray[Any]:
    rows = [slice(fold, None, FOLDS) for fold in range(FOLDS)]
    return np.array([log_loss(target[r], probability[r], None if weight is None else weight[r]) for r in rows])


def choose_threshold(
    target: NDArray[Any], probability: NDArray[Any], metric: Metric, weight: NDArray[Any] | None
) -> float:
    """Return the probability of class 1 from which on class 1 is best predicted, for a metric of labels.

    The loss over thresholds is smoothed over its neighbours, as its minimum is noisy; .5 where there are fewer
    than 50 rows of either class, or where the gain is below one standard error of a share.
    """
    positives = int((target == 1).sum())
    if min(positives, len(target) - positives) < 50:
        return 0.5
    grid = np.linspace(0.02, 0.98, 97)
    losses = np.array([metric.loss(target, _tilt(probability, t), weight) for t in grid])
    smooth = np.convolve(np.pad(losses, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    best = int(smooth.argmin())
    middle = len(grid) // 2
    noise = 0.5 / np.sqrt(positives)
    return float(grid[best]) if smooth[middle] - smooth[best] > 0.1 * noise else 0.5


def _tilt(probability: NDArray[Any], threshold: float) -> NDArray[Any]:
    label = probability[:, 1] >= threshold
    return np.column_stack([~label, label]).astype(np.float64)
