"""Drift of one stream: the predictions of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from numpy.typing import NDArray

from automl_core import DataError, SettingsError
from automl_drift.profile import Profile
from automl_drift.watch import FEW, Watch

__all__ = ["DriftDetector", "Score"]

NAME = "prediction"
BLOCK = 100


class Score(float):
    """A number with what stands behind it.

    Attributes:
        status: "ok", "drift", "degraded" or "not enough data".
        rows: how many rows it rests on.
        evidence: log10 of the sum of evidence; an alarm needs the logarithm of twice the run length.
        interval: where the number lies, with 95 % confidence at all times at once; None where none is given.
    """

    status: str
    rows: int
    evidence: float
    interval: tuple[float, float] | None

    def __new__(
        cls, value: float, *, status: str, rows: int, evidence: float, interval: tuple[float, float] | None = None
    ) -> Self:
        self = super().__new__(cls, value)
        self.status, self.rows, self.evidence, self.interval = status, rows, evidence, interval
        return self


class DriftDetector:
    """Compares predictions one by one with those on validation data. For one thread.

    `detect_prediction_drift` may be asked after every prediction: it costs next to nothing between blocks of 100, and
    there is at most one false alarm in `run_length` predictions on average however often it is asked.

    Args:
        window_size: rows that are compared with the reference as a whole, for slow drift.
        run_length: predictions between false alarms.
        tolerance: the smallest effect that matters: the largest difference of cumulative shares.

    Raises:
        SettingsError: a number is out of its range.
    """

    def __init__(self, window_size: int = 1000, *, run_length: int = 1_000_000, tolerance: float = 0.04) -> None:
        if window_size < 1:
            raise SettingsError(f"window_size is {window_size}; give at least 1 prediction.")
        self._options = {
            "window": window_size,
            "block": min(BLOCK, window_size),
            "run_length": max(run_length, window_size),
        }
        self._tolerance = tolerance
        self._waiting: list[Any] = []
        self._watch: Watch | None = None

    def set_reference_distribution(self, predictions: Sequence[Any] | NDArray[Any]) -> None:
        """Freeze what is normal: numbers, or labels; starts anew.

        Raises:
            DataError: there is no usable prediction, or it is no flat sequence.
        """
        self._watch = Watch([Profile.of(NAME, predictions)], tolerance=self._tolerance, **self._options)
        self._waiting = []

    def add_prediction(self, prediction: Any) -> None:
        """Take one prediction.

        Raises:
            DataError: there is no reference yet.
        """
        watch = self._ready()
        self._waiting.append(prediction)
        if len(self._waiting) >= watch.block:
            counts = watch.count({NAME: self._waiting}, len(self._waiting))
            watch.add(counts, len(self._waiting))
            self._waiting = []

    def detect_prediction_drift(self) -> tuple[bool, Score]:
        """Return whether predictions drifted, and how far they are from the reference, 0 to 1.

        Raises:
            DataError: there is no reference yet.
        """
        watch = self._ready()
        value = math.nan if watch.status == FEW else watch.effect(NAME)
        score = Score(value, status=watch.status, rows=watch.rows, evidence=watch.evidence / math.log(10))
        return watch.since is not None, score

    def _ready(self) -> Watch:
        if self._watch is None:
            raise DataError("the detector has no reference; call set_reference_distribution(predictions) first.")
        return self._watch
