"""Performance from labels that come late."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from automl_core import DataError, SettingsError, did_you_mean
from automl_drift.detector import Score

__all__ = ["METRICS", "PerformanceMonitor"]

BETS = np.array([0.03, 0.1, 0.3, 0.7])
CEILING = 1e250
_KEPT = ("rows", "degraded", "_mean", "_squares", "_bound", "_allowed")


def _wrong(prediction: Any, label: Any) -> float:
    return float(prediction != label)


def _absolute(prediction: Any, label: Any) -> float:
    return abs(float(prediction) - float(label))


def _squared(prediction: Any, label: Any) -> float:
    return (float(prediction) - float(label)) ** 2


# Loss of a row, the score of a mean loss, and the mean loss of a score.
METRICS: dict[str, tuple[Callable[[Any, Any], float], Callable[[float], float], Callable[[float], float]]] = {
    "accuracy": (_wrong, lambda loss: 1 - loss, lambda score: 1 - score),
    "mae": (_absolute, lambda loss: loss, lambda score: score),
    "rmse": (_squared, lambda loss: math.sqrt(max(loss, 0.0)), lambda score: score**2),
}


class PerformanceMonitor:
    """Tells when a model does worse than its baseline by more than a tolerance. For one thread.

    While the model does no worse, an alarm comes at most once in `run_length` labels on average, whatever the
    distribution of the losses: with a mean loss of at most m, 1 + b * (loss / m - 1) is an e-value of each row for every
    bet b from 0 to 1 (Waudby-Smith and Ramdas 2024), and their Shiryaev-Roberts sum is compared with the run length.

    Args:
        metric: "accuracy" of labels, "mae" or "rmse" of numbers.
        tolerance: how much worse than the baseline is still well: absolute for accuracy, a share of the baseline else.
        window: the latest labels, of which the score is told.
        run_length: labels between false alarms.
        pending: predictions that wait for their label; the oldest are forgotten first.

    Raises:
        SettingsError: the metric is unknown or a number out of its range.
    """

    def __init__(
        self,
        metric: str = "accuracy",
        *,
        tolerance: float = 0.05,
        window: int = 1000,
        run_length: int = 100_000,
        pending: int = 100_000,
    ) -> None:
        if metric not in METRICS:
            raise SettingsError(f"metric {metric!r} is not one of {', '.join(METRICS)}.{did_you_mean(metric, METRICS)}")
        if tolerance < 0 or min(window, run_length, pending) < 1:
            raise SettingsError("tolerance must be at least 0; window, run_length and pending at least 1.")
        self.metric, self.tolerance, self.run_length = metric, tolerance, run_length
        self._loss, self._score, self._inverse = METRICS[metric]
        self._limit = pending
        self._pending: OrderedDict[Hashable, Any] = OrderedDict()
        self._joined: OrderedDict[Hashable, None] = OrderedDict()
        self.unknown = self.twice = self.forgotten = 0
        self._recent: deque[float] = deque(maxlen=window)
        self._allowed: float | None = None
        self.reset()

    def reset(self) -> None:
        """Forget losses and evidence, as after a new model; the baseline stays."""
        self._sums, self._bound = np.zeros(len(BETS)), 0.0
        self._recent.clear()
        self.rows, self._mean, self._squares = 0, 0.0, 0.0
        self.degraded = False

    def set_baseline(self, score: float) -> None:
        """Say what the model scored on held-out data.

        Raises:
            DataError: it is not finite, or leaves no room for a worse score.
        """
        worse = score - self.tolerance if self.metric == "accuracy" else score * (1 + self.tolerance)
        if not math.isfinite(score) or (self.metric == "accuracy" and not 0 < worse < 1) or worse <= 0:
            raise DataError(
                f"a baseline of {score} with a tolerance of {self.tolerance} leaves no worse {self.metric}."
            )
        self._allowed = self._inverse(worse)
        self.reset()

    def add(self, key: Hashable, prediction: Any) -> None:
        """Remember a prediction until its label comes."""
        self._pending[key] = prediction
        if len(self._pending) > self._limit:
            self._pending.popitem(last=False)
            self.forgotten += 1

    def add_label(self, key: Hashable, label: Any) -> bool:
        """Join a label with its prediction; return False, and count it, if that is not waiting.

        A second label for one id is left out and counted in `twice`, a label for an id never seen in `unknown`.

        Raises:
            DataError: the loss of the two is not a finite number.
        """
        if key not in self._pending:
            if key in self._joined:
                self.twice += 1
            else:
                self.unknown += 1
            return False
        self.record(self._pending.pop(key), label)
        self._joined[key] = None
        if len(self._joined) > self._limit:
            self._joined.popitem(last=False)
        return True

    def record(self, prediction: Any, label: Any) -> None:
        """Take a prediction whose label is known.

        Raises:
            DataError: the loss of the two is not a finite number.
        """
        self.take(self.loss(prediction, label))

    def loss(self, prediction: Any, label: Any) -> float:
        """Return the loss of one row, which `take` takes here or in another process.

        Raises:
            DataError: the loss of the two is not a finite number.
        """
        try:
            loss = self._loss(prediction, label)
        except (TypeError, ValueError) as error:
            raise DataError(f"{prediction!r} and {label!r} have no {self.metric}: {error}.") from error
        if not math.isfinite(loss):
            raise DataError(f"{prediction!r} and {label!r} have no finite {self.metric}; give finite numbers.")
        return loss

    def take(self, loss: float) -> None:
        """Take the loss of one row."""
        self._recent.append(loss)
        self.rows += 1
        change = loss - self._mean
        self._mean += change / self.rows
        self._squares += change * (loss - self._mean)
        if self._allowed is not None:
            self._sums = np.minimum((1 + self._sums) * (1 + BETS * (loss / self._allowed - 1)), CEILING)
            self._bound = float(self._sums.mean())
            self.degraded = self.degraded or self._bound >= self.run_length

    def state(self) -> dict[str, Any]:
        """Return what was learned of losses, as plain lists and numbers, for `restore` after a restart."""
        own = {name: getattr(self, name) for name in _KEPT}
        return {**own, "_sums": self._sums.tolist(), "_recent": list(self._recent)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, with the baseline of then."""
        for name in _KEPT:
            setattr(self, name, state[name])
        self._sums = np.array(state["_sums"])
        self._recent = deque(state["_recent"], maxlen=self._recent.maxlen)

    def check_degradation(self) -> tuple[bool, Score]:
        """Return whether the score fell below what is allowed, and the score of the latest labels, NaN without any.

        Raises:
            DataError: there is no baseline.
        """
        if self._allowed is None:
            raise DataError("the monitor has no baseline; call set_baseline(score) first.")
        status = "degraded" if self.degraded else "ok" if self.rows >= 30 else "not enough data"
        value = self._score(sum(self._recent) / len(self._recent)) if self._recent else math.nan
        evidence = math.log10(self._bound) if self._bound > 0 else -math.inf
        return self.degraded, Score(value, status=status, rows=self.rows, evidence=evidence, interval=self._interval())

    def _interval(self) -> tuple[float, float] | None:
        """Return an asymptotic 95 % confidence sequence of all labels since the baseline (Waudby-Smith et al. 2024)."""
        if self.rows < 30:
            return None
        scaled = self.rows * 0.01 + 1  # tightest at a thousand labels or so
        width = math.sqrt(2 * scaled / (self.rows**2 * 0.01) * math.log(math.sqrt(scaled) / 0.05))
        width *= math.sqrt(self._squares / self.rows)
        ends = sorted((self._score(self._mean - width), self._score(self._mean + width)))
        return ends[0], ends[1]
