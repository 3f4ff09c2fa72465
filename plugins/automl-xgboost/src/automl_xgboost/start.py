"""What a model says before its first tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import BINARY, MULTICLASS
from automl_xgboost.objectives import level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Job

__all__ = ["Start"]


@dataclass(frozen=True, slots=True)
class Start:
    """The scores before the first tree, and a number as XGBoost learns it: (number - shift) / scale.

    XGBoost would choose both itself: infinite scores for a class alone, no scores by class before version 3, and
    numbers in float32 of the target's own size, which cost it digits.
    """

    base: tuple[float, ...]
    shift: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, job: Job) -> Start:
        target = job.data.target[job.train]
        weight = np.ones(len(target)) if job.data.weight is None else job.data.weight[job.train]
        if job.task in (BINARY, MULTICLASS):
            # Half a row of each class keeps the logarithms finite.
            counts = np.bincount(target.astype(np.int64), weights=weight, minlength=job.classes) + 0.5
            scores = np.log(counts / counts.sum())
            return cls((float(scores[1] - scores[0]),) if job.task == BINARY else tuple(scores.tolist()))
        shift, scale = level(target, weight, job.objective), float(target.std())
        return cls((0.0,), shift, scale if np.isfinite(scale) and scale > 0 else 1.0)

    def learned(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        return (target - self.shift) / self.scale

    def told(self, learned: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.shift + self.scale * learned

    def margin(self, rows: int) -> NDArray[np.float64]:
        """Return `base` for each row: (rows,), or (rows, classes)."""
        base = np.array(self.base)
        return np.full(rows, base[0]) if len(base) == 1 else np.tile(base, (rows, 1))
