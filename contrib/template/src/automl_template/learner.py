"""Linear models in closed form: ridge regression, and linear discriminant analysis (Fisher 1936)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_core import REGRESSION, TASKS, Additive, Candidate, Column, Float, Job, Learner, Space

__all__ = ["Linear", "Scores"]

Array = NDArray[np.float64]


class Linear(Learner):
    """Learns from numbers alone; categories count for nothing, and what is missing is the mean."""

    tasks = TASKS

    def space(self, task: str) -> Space:
        return Space({"ridge": Float(1e-4, 10.0, log=True)})

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return [Candidate({"ridge": 0.01}, rank=50)]

    def fit(self, job: Job) -> Scores:
        self.space(job.task).check(job.params)
        ridge = float(job.params.get("ridge") or 0.01)
        numbers = np.array([not column.categorical for column in job.data.columns])
        values = np.where(numbers, job.data.values[job.train], 0.0).astype(np.float64)
        target = job.data.target[job.train]
        share = np.ones(len(target)) if job.data.weight is None else job.data.weight[job.train]
        share = share / share.sum()

        known = ~np.isnan(values)
        center = share @ np.where(known, values, 0.0) / np.maximum(share @ known, 1e-12)
        rows = np.where(known, values - center, 0.0)
        spread = np.sqrt(share @ rows**2)
        scale = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1.0), 0.0)
        rows *= scale
        square, penalty = (rows * share[:, None]).T @ rows, ridge * np.eye(len(scale))

        if job.task == REGRESSION:
            base = np.array([share @ target])
            slope = np.linalg.solve(square + penalty, rows.T @ (share * (target - base)))[:, None]
        else:
            member = share[:, None] * (target[:, None] == np.arange(job.classes))
            prior = np.maximum(member.sum(axis=0), 1e-9)
            means = rows.T @ member / prior
            slope = np.linalg.solve(square - (means * prior) @ means.T + penalty, means)
            base = np.log(prior) - (means * slope).sum(axis=0) / 2
        weight = slope * scale[:, None]
        return Scores(job.task, weight, center, base - center @ weight)


@dataclass(frozen=True, eq=False)
class Scores:
    """A fitted model: weight (columns, outputs), center (columns,) in place of what is missing, base (outputs,)."""

    task: str
    weight: Array
    center: Array
    base: Array
    rounds: int | None = None

    def predict(self, values: NDArray[np.float32]) -> Array:
        raw = np.where(np.isnan(values), self.center, values) @ self.weight + self.base
        if self.task == REGRESSION:
            return np.asarray(raw[:, 0])
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def export(self) -> Additive:
        columns, outputs = self.weight.shape
        return Additive(
            columns=columns,
            weight=self.weight,
            missing=self.weight * self.center[:, None],
            low=np.full(columns, -np.inf),
            high=np.full(columns, np.inf),
            table=np.zeros((0, outputs)),
            table_start=np.full(columns, -1, dtype=np.int32),
            base=self.base,
            link="identity" if self.task == REGRESSION else "softmax",
        )
