"""Performance without labels, where what a target is given the inputs has not changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from automl_core import DataError, SettingsError, did_you_mean

__all__ = ["CBPE_METRICS", "ConfidenceBased", "DirectLoss", "Estimate", "contradiction", "separability"]

Floats = NDArray[np.float64]
DRAWS = 200
SEPARABLE = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and its 95 % interval; `reason` says why it is not to be trusted, empty where it is."""

    value: float
    low: float
    high: float
    reason: str = ""

    @property
    def trusted(self) -> bool:
        return not self.reason


def _auc(p: Floats, target: Floats) -> float:
    order = np.argsort(-p, kind="stable")
    yes, no = target[order], 1 - target[order]
    # Ties make one step of the curve.
    last = np.append(np.flatnonzero(np.diff(p[order])), len(p) - 1)
    tp, fp = np.append(0.0, np.cumsum(yes)[last]), np.append(0.0, np.cumsum(no)[last])
    return float(np.trapezoid(tp, fp) / (tp[-1] * fp[-1])) if tp[-1] * fp[-1] > 0 else float("nan")


def _accuracy(p: Floats, target: Floats) -> float:
    return float(np.where(p >= 0.5, target, 1 - target).mean())


def _f1(p: Floats, target: Floats) -> float:
    chosen = p >= 0.5
    tp, fp, fn = target[chosen].sum(), (1 - target[chosen]).sum(), target[~chosen].sum()
    total = 2 * tp + fp + fn
    return float(2 * tp / total) if total > 0 else 0.0


def _log_loss(p: Floats, target: Floats) -> float:
    q = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-(target * np.log(q) + (1 - target) * np.log1p(-q)).mean())


def _brier(p: Floats, target: Floats) -> float:
    # E (p - y)^2 for a target that is 1 with probability `target`.
    return float((target * (1 - p) ** 2 + (1 - target) * p**2).mean())


CBPE_METRICS: dict[str, Callable[[Floats, Floats], float]] = {
    "roc_auc": _auc,
    "accuracy": _accuracy,
    "f1": _f1,
    "log_loss": _log_loss,
    "brier": _brier,
}


class ConfidenceBased:
    """Estimates a score of binary classification from probabilities alone (CBPE: Bialek et al. 2024).

    Probabilities are calibrated by isotonic regression on the reference where that helps on its other half. The
    interval covers the sampling of the rows at hand and of the reference. It cannot see that the target means something
    else than it did, unless it is told of `labelled` rows.

    Args:
        probability: of the positive class, out of fold or on held-out rows; never of rows that were trained on.
        target: 0 or 1 for those rows.
        metric: one of `CBPE_METRICS`.

    Raises:
        SettingsError: the metric is unknown.
        DataError: the reference is empty, of unequal lengths, no probabilities, or of one class.
    """

    def __init__(self, probability: ArrayLike, target: ArrayLike, *, metric: str = "roc_auc", seed: int = 0) -> None:
        if metric not in CBPE_METRICS:
            raise SettingsError(
                f"{metric!r} is not one of {', '.join(CBPE_METRICS)}.{did_you_mean(metric, CBPE_METRICS)}"
            )
        p, y = _probabilities(probability), np.asarray(target, dtype=np.float64)
        if p.shape != y.shape or set(np.unique(y)) != {0.0, 1.0}:
            raise DataError("the reference needs one target of 0 or 1 per probability, and both classes.")
        self._metric, self._seed = CBPE_METRICS[metric], seed
        self._p, self._y = p, y
        self.calibrated = _calibration_helps(p, y)
        self._calibrate = _isotonic(p, y) if self.calibrated else None

    def estimate(
        self, probability: ArrayLike, *, separable: float | None = None, labelled: tuple[float, float] | None = None
    ) -> Estimate:
        """Estimate the score on rows without labels.

        Args:
            separable: `separability` of these rows' inputs from the reference's, where known.
            labelled: interval of the score of the latest rows that have labels, such as `Score.interval`, where known.

        Raises:
            DataError: these are no probabilities.
        """
        p = _probabilities(probability)
        chance = self._calibrate(p) if self._calibrate else p
        random = np.random.default_rng(self._seed)
        draws = [self._draw(p, chance, random) for _ in range(DRAWS)]
        low, high = np.nanquantile(draws, [0.025, 0.975])
        outside = float(((p < self._p.min()) | (p > self._p.max())).mean())
        reason = _doubt(separable, outside) or contradiction((float(low), float(high)), labelled)
        return Estimate(self._metric(p, chance), float(low), float(high), reason)

    def _draw(self, p: Floats, chance: Floats, random: np.random.Generator) -> float:
        if self._calibrate is not None:
            rows = random.integers(0, len(self._p), len(self._p))
            chance = _isotonic(self._p[rows], self._y[rows])(p)
        return self._metric(p, (random.random(len(p)) < chance).astype(np.float64))


class DirectLoss:
    """Estimates MAE or RMSE from a model of the loss (DLE).

    Args:
        features: float, shape (rows, columns), NaN for missing: what the loss may depend on, predictions included.
        prediction, target: float, shape (rows,), of held-out rows.
        metric: "mae" or "rmse".

    Raises:
        SettingsError: the metric is unknown.
        DataError: shapes do not fit, or a number of prediction or target is not finite.
    """

    def __init__(
        self, features: ArrayLike, prediction: ArrayLike, target: ArrayLike, *, metric: str = "mae", seed: int = 0
    ) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        if metric not in ("mae", "rmse"):
            raise SettingsError(f"{metric!r} is not one of mae, rmse.{did_you_mean(metric, ('mae', 'rmse'))}")
        self._reference = np.asarray(features, dtype=np.float64)
        error = np.abs(np.asarray(prediction, dtype=np.float64) - np.asarray(target, dtype=np.float64))
        if self._reference.ndim != 2 or error.shape != (len(self._reference),) or not np.isfinite(error).all():
            raise DataError("the reference needs a table of features, and finite predictions and targets of its rows.")
        self._root = metric == "rmse"
        loss = error**2 if self._root else error
        self._model = HistGradientBoostingRegressor(max_leaf_nodes=15, min_samples_leaf=50, random_state=seed)
        self._model.fit(self._reference, loss)
        self._residuals = loss - self._model.predict(self._reference)
        self._seed = seed

    def estimate(self, features: ArrayLike) -> Estimate:
        """Estimate the score on rows without labels.

        Raises:
            DataError: the columns are not those of the reference.
        """
        current = np.asarray(features, dtype=np.float64)
        if current.ndim != 2 or current.shape[1] != self._reference.shape[1] or not len(current):
            raise DataError(
                f"rows of shape {current.shape} do not have the reference's {self._reference.shape[1]} columns."
            )
        expected = np.maximum(self._model.predict(current), 0)
        random = np.random.default_rng(self._seed)
        # Residuals of like rows only: the loss varies more where it is large.
        order = np.argsort(self._model.predict(self._reference))
        places = np.searchsorted(self._model.predict(self._reference)[order], expected)
        draws = []
        for _ in range(DRAWS):
            near = np.clip(places + random.integers(-50, 51, len(places)), 0, len(order) - 1)
            rows = random.integers(0, len(expected), len(expected))
            draws.append((expected + self._residuals[order[near]])[rows].mean())
        low, high = np.maximum(np.quantile(draws, [0.025, 0.975]), 0)
        values = [float(expected.mean()), float(low), float(high)]
        value, low_end, high_end = [v**0.5 for v in values] if self._root else values
        reason = _doubt(separability(self._reference, current, seed=self._seed), 0.0)
        return Estimate(value, low_end, high_end, reason)


def separability(reference: ArrayLike, current: ArrayLike, *, seed: int = 0, rows: int = 2000) -> float:
    """Return the out-of-fold AUC of telling current rows from the reference's: .5 for one distribution, 1 for two."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    random = np.random.default_rng(seed)
    parts = [np.asarray(part, dtype=np.float64) for part in (reference, current)]
    parts = [part[random.permutation(len(part))[:rows]] for part in parts]
    if min(map(len, parts)) < 10:
        raise DataError("telling two tables apart needs at least 10 rows of each.")
    table, side = np.concatenate(parts), np.repeat([0, 1], [len(part) for part in parts])
    model = HistGradientBoostingClassifier(max_iter=30, max_leaf_nodes=15, random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(roc_auc_score(side, cross_val_predict(model, table, side, cv=folds, method="predict_proba")[:, 1]))


def _doubt(separable: float | None, outside: float) -> str:
    if separable is not None and separable > SEPARABLE:
        return f"the rows are unlike the reference (told apart with an AUC of {separable:.2f})"
    if outside > 0.05:
        return f"{outside:.0%} of the probabilities lie outside the reference's range"
    return ""


def contradiction(estimated: tuple[float, float], labelled: tuple[float, float] | None) -> str:
    """Return why an estimate is not to be trusted where the interval of labelled rows lies apart; empty else."""
    if labelled is None or max(estimated[0], labelled[0]) <= min(estimated[1], labelled[1]):
        return ""
    return f"labels say otherwise: a score from {labelled[0]:.4g} to {labelled[1]:.4g}"


def _probabilities(values: ArrayLike) -> Floats:
    p = np.asarray(values, dtype=np.float64)
    if p.ndim != 1 or not len(p) or not ((p >= 0) & (p <= 1)).all():
        raise DataError("probabilities must be a flat, non-empty sequence of numbers from 0 to 1.")
    return p


def _isotonic(p: Floats, y: Floats) -> Callable[[Floats], Floats]:
    from sklearn.isotonic import IsotonicRegression

    model: Any = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, y)
    return lambda values: np.asarray(model.predict(values), dtype=np.float64)


def _calibration_helps(p: Floats, y: Floats) -> bool:
    """Tell whether isotonic regression on even rows lowers the Brier score of odd ones, by two standard errors."""
    if len(p) < 200:
        return False
    before = (p[1::2] - y[1::2]) ** 2
    gain = before - (_isotonic(p[::2], y[::2])(p[1::2]) - y[1::2]) ** 2
    return bool(gain.mean() > 2 * gain.std() / len(gain) ** 0.5)
