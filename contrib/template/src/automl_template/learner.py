"""Nearest class centres and least squares: a small learner that does all that a learner must."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import REGRESSION, TASKS, Additive, Candidate, Column, Float, Job, Learner, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Centres"]

SPACE = Space({"sharpness": Float(0.01, 10.0, log=True)})


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A linear score per class, of standardised numbers; its softmax is the prediction.

    Attributes:
        weight: float64 (columns, outputs), 0 for categories. base: float64 (outputs,).
    """

    weight: NDArray[np.float64]
    base: NDArray[np.float64]
    task: str

    @property
    def rounds(self) -> int | None:
        return None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        raw = np.nan_to_num(values.astype(np.float64)) @ self.weight + self.base
        if self.task == REGRESSION:
            return np.asarray(raw[:, 0])
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def export(self) -> Additive:
        columns, outputs = self.weight.shape
        return Additive(
            columns=columns,
            weight=self.weight,
            missing=np.zeros((columns, outputs)),
            low=np.full(columns, -np.inf),
            high=np.full(columns, np.inf),
            table=np.zeros((0, outputs)),
            table_start=np.full(columns, -1, dtype=np.int32),
            base=self.base,
            link="identity" if self.task == REGRESSION else "softmax",
        )


class Centres(Learner):
    """Rows are like the class whose mean is nearest, in standardised numbers; a number follows least squares."""

    tasks = TASKS

    def space(self, task: str) -> Space:
        return SPACE

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return [Candidate({"sharpness": 1.0}, rank=90.0)]

    def fit(self, job: Job) -> Scores:
        SPACE.check(job.params)
        values = np.nan_to_num(job.data.values[job.train].astype(np.float64))
        target = job.data.target[job.train]
        weight = np.ones(len(target)) if job.data.weight is None else job.data.weight[job.train]
        numeric = np.array([not column.categorical for column in job.data.columns])
        scale = np.where(numeric, 1 / np.maximum(values.std(axis=0), 1e-9), 0.0)
        if job.task == REGRESSION:
            return _least_squares(values, scale, target, weight)
        members = [weight * (target == label) for label in range(job.classes)]
        shares = np.array([member.sum() for member in members]) / weight.sum()
        overall = np.average(values, axis=0, weights=weight)
        centres = np.stack([_mean(values, member, overall) for member in members]) * scale
        sharpness = float(job.params.get("sharpness") or 1.0)
        # The squared distance to a centre, without the part that all classes share, is linear in the row.
        base = -0.5 * sharpness * (centres**2).sum(axis=1) + np.log(np.maximum(shares, 1e-9))
        return Scores((sharpness * centres * scale).T, base, job.task)


def _least_squares(
    values: NDArray[np.float64], scale: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]
) -> Scores:
    mean = np.average(target, weights=weight)
    centre = np.average(values, axis=0, weights=weight)
    rows = (values - centre) * scale
    square = (rows * weight[:, None]).T @ rows + np.eye(rows.shape[1])
    slope = np.linalg.solve(square, (rows * weight[:, None]).T @ (target - mean)) * scale
    return Scores(slope[:, None], np.array([mean - centre @ slope]), REGRESSION)


def _mean(
    values: NDArray[np.float64], weight: NDArray[np.float64], otherwise: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(np.average(values, axis=0, weights=weight)) if weight.sum() > 0 else otherwise
