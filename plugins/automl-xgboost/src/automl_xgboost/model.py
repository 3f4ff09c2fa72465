"""A fitted booster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from automl_xgboost.flatten import flatten
from automl_xgboost.matrices import Known, feature_types
from automl_xgboost.start import Start

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Forest

__all__ = ["XGBoostModel"]

STEP = 200  # rounds that XGBoost may sum in float32; thousands of them drift by more than 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class XGBoostModel:
    """A booster in XGBoost's own format, of which the first `rounds` count; see `automl_core.Staged`.

    Attributes:
        raw: Universal Binary JSON.
        classes: 0 for a number.
        curve: loss on the valid rows by round; empty where there were none, or where an earlier model was resumed.
    """

    raw: bytes = field(repr=False)
    known: Known = field(repr=False)
    start: Start
    classes: int
    rounds: int
    curve: tuple[float, ...] = field(repr=False)
    threads: int = 1
    _loaded: list[xgb.Booster] = field(default_factory=list, repr=False)  # of one item, shared with cut models

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.raw, self.known, self.start, self.classes, self.rounds, self.curve, self.threads)

    @property
    def booster(self) -> xgb.Booster:
        """All rounds, read from the bytes at first use."""
        if not self._loaded:
            self._loaded.append(xgb.Booster({"nthread": self.threads}, model_file=bytearray(self.raw)))
        return self._loaded[0]

    def cut(self, rounds: int) -> XGBoostModel:
        return replace(self, rounds=rounds)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        score = self._score(values)
        if self.classes == 0:
            return self.start.told(score)
        if self.classes == 2:
            share = 0.5 * (1.0 + np.tanh(score / 2.0))
            return np.column_stack([1.0 - share, share])
        parts = np.exp(score - score.max(axis=1, keepdims=True))
        shares: NDArray[np.float64] = parts / parts.sum(axis=1, keepdims=True)
        return shares

    def export(self) -> Forest:
        return flatten(self.raw, self.rounds, self.classes, self.known, self.start)

    def _score(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what the trees add to the base: (rows,), or (rows, classes)."""
        score = self.start.margin(len(values))
        matrix = xgb.DMatrix(
            self.known.clean(values),
            base_margin=np.zeros_like(score),
            feature_types=feature_types(self.known),
            enable_categorical=True,
            nthread=self.threads,
        )
        for first in range(0, self.rounds, STEP):
            last = min(first + STEP, self.rounds)
            score += self.booster.predict(matrix, output_margin=True, iteration_range=(first, last))
        return score
