"""Weights of members, from their out-of-fold predictions, guarded against overfitting those."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from automl.metrics import Metric, row_losses

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Ensemble", "choose_weights", "weigh"]

Weights: TypeAlias = "NDArray[np.float64]"
Slope: TypeAlias = "Callable[[NDArray[np.float64]], NDArray[np.float64]]"
ROUNDS = 25  # more brings nothing measurable (TabRepo; AutoGluon's own setting since 1.1)
MAX_ROWS = 20_000  # for the choice of weights; the shipped score is taken on all rows
SAME = 0.9999  # correlation from which on two members count as one
FIRST = 3  # members of each learner that come before the others
NESTED = 5
LEAST = 0.01  # weight that is worth a member's time in predictions
DOUBT = 1000  # rows up to which the simplex has the greater say: greedy choices among few rows are chance
DEFAULT = "greedy"


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Weights that sum to 1, how they were chosen, and how optimistic their score is.

    Attributes:
        weights: float64 (members,).
        method: "single", "mean", "greedy" or "simplex".
        loss: on the rows that chose the weights. nested: mean over rows that did not.
        compared: the nested loss of every method that was tried.
    """

    weights: Weights
    method: str
    loss: float
    nested: float
    compared: dict[str, float]


def choose_weights(
    predictions: Sequence[NDArray[Any]],
    target: NDArray[np.float64],
    metric: Metric,
    *,
    weight: NDArray[np.float64] | None = None,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
    limit: int = 16,
    left: Callable[[], float] = lambda: math.inf,
) -> Ensemble:
    """Choose how to mix members; each is numbers (rows,) or probabilities (rows, classes), out of fold.

    Greedy selection with replacement (Caruana et al. 2004) is used unless the mean of all members, a regression over
    the simplex or the best member alone beats it by more than two standard errors in a nested cross-validation over
    the rows. Greedy weights are mixed with those of the simplex, which shares weight more evenly, by the share
    1000 / (rows + 1000).

    Args:
        kinds: the learner of each member; without it all are of one.
        limit: at most so many members compete, the best by their own loss: the first few of each learner, then others.
            Of hundreds of trials the best sixteen would be of one learner, and good at these rows alone.
        left: seconds for the nested comparison; where it would take longer, there is none.
    """
    rows = _sample_rows(len(target), seed)
    y, w = target[rows], None if weight is None else weight[rows]
    stack = np.stack([np.asarray(p[rows], dtype=np.float64) for p in predictions])
    losses = np.array([metric.loss(y, p, w) for p in stack])
    kept = _distinct(stack, losses, limit, kinds or [""] * len(stack))
    if len(kept) == 1:
        return Ensemble(_spread(np.ones(1), kept, len(stack)), "single", losses[kept[0]], losses[kept[0]], {})
    problem = _Problem(stack[kept], y, w, metric, losses[kept])
    nested = {} if left() <= 0 or len(rows) < 2 * NESTED else _nested(problem, seed, left)
    method = _surest(nested) if nested else DEFAULT
    weights = weigh(problem)[method]
    loss = problem.loss(weights)
    means = {name: float(np.mean(values)) for name, values in nested.items()}
    return Ensemble(_spread(weights, kept, len(stack)), method, loss, means.get(method, loss), means)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    stack: NDArray[np.float64]  # (members, rows[, classes])
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    metric: Metric
    losses: NDArray[np.float64]

    def take(self, rows: NDArray[np.int64]) -> _Problem:
        weight = None if self.weight is None else self.weight[rows]
        stack, target = self.stack[:, rows], self.target[rows]
        losses = np.array([self.metric.loss(target, p, weight) for p in stack])
        return _Problem(stack, target, weight, self.metric, losses)

    def loss(self, weights: Weights) -> float:
        return self.metric.loss(self.target, np.tensordot(weights, self.stack, 1), self.weight)


# ---- methods, simplest first


def _single(problem: _Problem) -> Weights:
    weights = np.zeros(len(problem.stack))
    weights[problem.losses.argmin()] = 1.0
    return weights


def _mean(problem: _Problem) -> Weights:
    return np.full(len(problem.stack), 1 / len(problem.stack))


def _greedy(problem: _Problem) -> Weights:
    """Add the member that helps most, with replacement; keep the best prefix (Caruana et al. 2004)."""
    counts = np.zeros(len(problem.stack))
    total = np.zeros_like(problem.stack[0])
    best, best_loss = counts, np.inf
    for size in range(1, ROUNDS + 1):
        trials = np.array([_mixed_loss(problem, (total + p) / size) for p in problem.stack])
        # A member that is used already wins ties: fewer members predict faster.
        pick = int(np.lexsort((counts == 0, np.round(trials, 7)))[0])
        counts = counts.copy()
        counts[pick] += 1
        total = total + problem.stack[pick]
        if trials[pick] < best_loss - 1e-9:
            best, best_loss = counts, trials[pick]
    return np.asarray(best / best.sum())


def _mixed_loss(problem: _Problem, mixed: NDArray[np.float64]) -> float:
    """Return the metric's loss; a metric of labels or ranks is helped by a little of the smooth loss."""
    loss = problem.metric.loss(problem.target, mixed, problem.weight)
    if problem.metric.needs != "label":
        return loss
    return loss + 0.1 * float(np.average(row_losses(problem.target, mixed), weights=problem.weight))


def _simplex(problem: _Problem) -> Weights:
    """Minimise the smooth loss over the simplex by exponentiated gradient (Kivinen and Warmuth 1997)."""
    members, rows = problem.stack.shape[:2]
    mass = np.ones(rows) if problem.weight is None else problem.weight
    mass = mass / mass.sum()
    weights = np.full(members, 1 / members)
    slope = _square_slope(problem, mass) if problem.stack.ndim == 2 else _log_slope(problem, mass)
    # The entropy of the weights, worth one row in a thousand, keeps them from single members.
    for step in range(300):
        gradient = slope(weights) + 0.001 * np.log(np.clip(weights * members, 1e-12, None))
        weights = weights * np.exp(-(gradient - gradient.min()) * 2.0 / np.sqrt(1 + step / 30))
        weights /= weights.sum()
    return _without_small(weights)


def _square_slope(problem: _Problem, mass: Weights) -> Slope:
    error = problem.stack - problem.target
    gram = (error * mass) @ error.T
    gram /= max(float(np.abs(gram).max()), 1e-300)
    return lambda weights: 2 * gram @ weights


def _log_slope(problem: _Problem, mass: Weights) -> Slope:
    rows = np.arange(problem.stack.shape[1])
    picked = problem.stack[:, rows, problem.target.astype(np.int64)]
    weighed = picked * mass
    return lambda weights: -weighed @ (1 / np.clip(weights @ picked, 1e-12, None))


def _without_small(weights: Weights) -> Weights:
    kept = np.where(weights < LEAST, 0.0, weights)
    return np.asarray(kept / kept.sum())


def weigh(problem: _Problem) -> dict[str, Weights]:
    """Return the weights of every method, the simplest first."""
    simplex, trust = _simplex(problem), len(problem.target) / (len(problem.target) + DOUBT)
    greedy = _without_small(trust * _greedy(problem) + (1 - trust) * simplex)
    return {"single": _single(problem), "mean": _mean(problem), "simplex": simplex, "greedy": greedy}


# ---- guards


def _nested(problem: _Problem, seed: int, left: Callable[[], float]) -> dict[str, list[float]]:
    label = np.random.default_rng(seed).permutation(len(problem.target)) % NESTED
    found: dict[str, list[float]] = {}
    for part in range(NESTED):
        began = time.monotonic()
        inner, outer = problem.take(np.flatnonzero(label != part)), problem.take(np.flatnonzero(label == part))
        for name, weights in weigh(inner).items():
            found.setdefault(name, []).append(outer.loss(weights))
        rest = NESTED - part - 1
        if rest and rest * (time.monotonic() - began) > left():
            return {}
    return found


def _surest(nested: dict[str, list[float]]) -> str:
    """Return the greedy choice unless another is better by more than two standard errors of the difference.

    One is met by chance too often: there are three rivals, and five parts that share most of their rows.
    """
    best = min(nested, key=lambda name: float(np.mean(nested[name])))
    difference = np.array(nested[DEFAULT]) - np.array(nested[best])
    return best if difference.mean() > 2 * difference.std(ddof=1) / np.sqrt(len(difference)) else DEFAULT


def _distinct(stack: NDArray[np.float64], losses: NDArray[np.float64], limit: int, kinds: Sequence[str]) -> list[int]:
    """Return the best members that are no copies of a better one, of each kind `FIRST` before any others."""
    flat = stack.reshape(len(stack), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.sqrt((flat**2).sum(axis=1))
    order = [int(index) for index in np.argsort(losses, kind="stable") if np.isfinite(losses[index])]
    kept: list[int] = []
    for most in (FIRST, limit):
        taken: Counter[str] = Counter(kinds[index] for index in kept)
        for index in order:
            if len(kept) == limit or index in kept or taken[kinds[index]] >= most:
                continue
            if not any(flat[index] @ flat[k] >= SAME * norms[index] * norms[k] for k in kept):
                kept.append(index)
                taken[kinds[index]] += 1
    return kept or [int(np.argmin(losses))]


def _spread(weights: Weights, kept: Sequence[int], size: int) -> Weights:
    full = np.zeros(size)
    full[list(kept)] = weights
    return full


def _sample_rows(rows: int, seed: int) -> NDArray[np.int64]:
    if rows <= MAX_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))
