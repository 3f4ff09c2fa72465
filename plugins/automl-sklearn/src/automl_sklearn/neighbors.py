"""The learner `k_nearest_neighbors`; its models are the rows themselves, so they have no flat form."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from automl_core import REGRESSION, TASKS, Candidate, Choice, Column, Int, Job, Learner, Model, Scalar, Space
from automl_sklearn.design import Design, fit_design
from automl_sklearn.rows import choose, refuse_monotone, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KNearestNeighbors", "NeighborsModel"]

DEFAULTS: Mapping[str, Scalar] = {"neighbors": 15, "weighting": "distance", "levels": 20}
MAX_ROWS = 20_000
PRIOR = 1.0  # rows that the classes' shares in training weigh as much as, so that no probability is 0
TINY = 1e-9  # a distance of two equal rows


@dataclass(frozen=True, eq=False)
class NeighborsModel:
    """The rows learned from, and how many of them to ask.

    Attributes:
        points: float32 (rows, inputs). target: float64 (rows, outputs), the number or the class as an indicator.
        weight: float64 (rows,).
    """

    design: Design
    points: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64]
    neighbors: int
    by_distance: bool
    classification: bool
    threads: int = 1
    rounds: int | None = None

    @cached_property
    def _index(self) -> NearestNeighbors:
        return NearestNeighbors(n_neighbors=self.neighbors, n_jobs=self.threads).fit(self.points)

    @cached_property
    def _prior(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = np.average(self.target, axis=0, weights=self.weight)
        return shares

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(values):
            return np.empty((0, self.target.shape[1]) if self.classification else 0)
        distance, rows = self._index.kneighbors(_points(self.design, values))
        weight = self.weight[rows]
        if self.by_distance:  # relative to the nearest row, so that a scale of distances does not matter
            weight = weight * (distance[:, :1] + TINY) / (distance + TINY)
        total = np.einsum("rk,rko->ro", weight, self.target[rows])
        if not self.classification:
            return np.asarray((total / np.maximum(weight.sum(axis=1, keepdims=True), TINY))[:, 0])
        total += PRIOR * float(self.weight.mean()) * self._prior
        return np.asarray(total / total.sum(axis=1, keepdims=True))


class KNearestNeighbors(Learner):
    """The weighted mean of the most similar training rows, on standardised numbers and indicators."""

    tasks = TASKS

    def space(self, task: str) -> Space:
        return Space(
            {
                "neighbors": Int(1, 200, log=True),
                "weighting": Choice(("distance", "uniform")),
                "levels": Int(5, 50, log=True),
            }
        )

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return () if any(column.monotone for column in columns) else (Candidate({}, rank=150),)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        return min(rows, MAX_ROWS) * (16 * columns + 8 * max(1, classes)) + 64_000_000

    def fit(self, job: Job) -> NeighborsModel:
        params = choose(self.space(job.task), job.params, DEFAULTS)
        refuse_monotone(job.data.columns, "sklearn.k_nearest_neighbors")
        rows = take(job, limit=MAX_ROWS)
        levels = int(params["levels"] or 0)
        design = fit_design(rows.values, job.data.columns, levels=levels, min_count=3, tails=0.005)
        classification = job.task != REGRESSION
        target = np.equal.outer(rows.labels, np.arange(job.classes)) if classification else rows.target[:, None]
        return NeighborsModel(
            design,
            _points(design, rows.values),
            target.astype(np.float64),
            np.ones(len(target)) if rows.weight is None else rows.weight,
            neighbors=min(int(params["neighbors"] or 1), len(target)),
            by_distance=params["weighting"] == "distance",
            classification=classification,
            threads=job.threads,
        )

    def dump(self, model: Model) -> bytes:
        if not isinstance(model, NeighborsModel):
            raise TypeError(f"sklearn.k_nearest_neighbors cannot store a {type(model).__name__}")
        numbers = np.array([model.neighbors, model.by_distance, model.classification], dtype=np.int64)
        arrays = {"points": model.points, "target": model.target, "weight": model.weight, "numbers": numbers}
        parts = {f"design.{field.name}": np.asarray(getattr(model.design, field.name)) for field in fields(Design)}
        buffer = io.BytesIO()
        named: dict[str, Any] = {**arrays, **parts}
        np.savez_compressed(buffer, allow_pickle=False, **named)
        return buffer.getvalue()

    def load(self, data: bytes) -> NeighborsModel:
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                parts = {field.name: stored[f"design.{field.name}"] for field in fields(Design)}
                design = Design(**{**parts, "width": int(parts["width"])})
                neighbors, by_distance, classification = (int(number) for number in stored["numbers"])
                return NeighborsModel(
                    design,
                    stored["points"],
                    stored["target"],
                    stored["weight"],
                    neighbors=neighbors,
                    by_distance=bool(by_distance),
                    classification=bool(classification),
                )
        except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"these bytes are no model of sklearn.k_nearest_neighbors: {error}") from error


def _points(design: Design, values: NDArray[np.float32]) -> NDArray[np.float32]:
    inputs = design.apply(values)
    return np.concatenate([inputs.dense, inputs.indicators.toarray()], axis=1)
