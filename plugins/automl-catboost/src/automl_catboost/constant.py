"""What is left to predict where CatBoost refuses to fit: one answer for all rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import REGRESSION, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Job

__all__ = ["ConstantModel", "fit_constant", "is_constant"]


@dataclass(frozen=True, slots=True)
class ConstantModel:
    """Predicts the same for every row: a number, or a probability per class."""

    answer: tuple[float, ...]
    columns: int

    @property
    def rounds(self) -> None:
        return None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        answer = np.tile(np.array(self.answer, dtype=np.float64), (len(values), 1))
        return answer[:, 0] if len(self.answer) == 1 else answer

    def export(self) -> Forest:
        """Return a forest of no trees."""
        none = np.zeros(0, dtype=np.int32)
        return Forest(
            columns=self.columns,
            feature=none,
            threshold=none.astype(np.float32),
            left=none,
            right=none,
            missing_left=none.astype(np.bool_),
            category=none,
            words=none,
            bits=none.astype(np.uint32),
            values=np.zeros((0, len(self.answer))),
            roots=none,
            output=none,
            base=np.array(self.answer, dtype=np.float64),
            link="identity" if len(self.answer) == 1 else "probability",
        )


def is_constant(job: Job) -> bool:
    """Say whether the rows to learn from have one target alone, or nothing to tell them apart by."""
    target = job.data.target[job.train]
    if (target == target[0]).all():
        return True
    values = job.data.values
    first = values[job.train[0]]
    columns = (values[job.train, place] for place in range(values.shape[1]))
    return all(_same(column, start) for column, start in zip(columns, first, strict=True))


def _same(column: NDArray[np.float32], start: np.float32) -> bool:
    return bool((np.isnan(column) if np.isnan(start) else column == start).all())


def fit_constant(job: Job) -> ConstantModel:
    """Return the best constant: the share of each class, the mean, or the quantile that is asked for."""
    target = job.data.target[job.train]
    weight = np.ones(len(target)) if job.data.weight is None else job.data.weight[job.train]
    if job.task != REGRESSION:
        counts = np.bincount(target.astype(np.int64), weights=weight, minlength=job.classes)
        return ConstantModel(tuple((counts / counts.sum()).tolist()), job.data.values.shape[1])
    word, _, level = job.objective.partition(":")
    if word == "absolute_error" or (word == "quantile" and level):
        answer = float(np.quantile(target, float(level or 0.5)))
    else:
        answer = float(np.average(target, weights=weight))
    return ConstantModel((answer,), job.data.values.shape[1])
