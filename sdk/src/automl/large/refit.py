"""The best of the search once more, on all rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from automl.large.survey import Survey
from automl.predictor import Part, Predictor
from automl_core import Data, Distributed, Exports, Job, Learner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.model import Model
    from automl.prepare import Prepared
    from automl.study.clock import Clock
    from automl.study.problem import Outcome

__all__ = ["AllRows", "learn_from_all"]

MEMBERS = 2  # configurations that are fitted once more
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the models of all rows in the ensemble
BIN_SHARE = 0.7  # of the memory, that rows in bins may take
BYTES_PER_ROW = 40  # targets, scores and gradients
LEAST_GAIN = 1.5  # times as many rows as the sample has, below which another fit is not worth its time
log = logging.getLogger("automl.large")


class AllRows:
    """The learnable rows, encoded batch by batch; those of the smallest hashes where not all fit.

    Attributes:
        rows: how many there are.
    """

    def __init__(self, survey: Survey, prepared: Prepared, *, weight: str | None = None) -> None:
        self._survey, self._prepared, self._weight = survey, prepared, weight
        each = len(prepared.encoder.columns) + BYTES_PER_ROW + 8 * max(2, len(prepared.coder.classes))
        room = int(BIN_SHARE * survey.batches.limit / each)
        self._highest = 2**64 - 1 if room >= survey.learnable else int(room / survey.learnable * 2**64)
        self.rows = (
            survey.learnable
            if room >= survey.learnable
            else sum(t.num_rows for t in survey.learnable_rows(self._highest))
        )

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]]:
        return map(self.encode, self._survey.learnable_rows(self._highest))

    def encode(self, table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]:
        prepared = self._prepared
        weight = None if self._weight is None else table[self._weight].to_numpy().astype(np.float64)
        return prepared.encoder.encode(table), prepared.coder.encode(table[self._survey.target]), weight


def learn_from_all(
    model: Model,
    survey: Survey,
    prepared: Prepared,
    outcome: Outcome,
    *,
    learners: Mapping[str, Learner],
    metric: Metric,
    clock: Clock,
    threads: int,
    weight: str | None = None,
) -> None:
    """Fit the best configurations on all rows, and let the watched rows say how much they weigh in the model.

    Changes `model` in place: its predictor, leaderboard and info.
    """
    rows = AllRows(survey, prepared, weight=weight)
    watched, target, _ = rows.encode(survey.watched)
    for row in model._leaderboard:
        row["rows"] = len(prepared.data.target)
    fitted = _fit(rows, prepared, outcome, learners, metric, clock, threads, watched, target)
    if fitted:
        _mix(model, fitted, metric, watched, target, rows.rows)


def _fit(
    rows: AllRows,
    prepared: Prepared,
    outcome: Outcome,
    learners: Mapping[str, Learner],
    metric: Metric,
    clock: Clock,
    threads: int,
    watched: NDArray[np.float32],
    target: NDArray[np.float64],
) -> list[tuple[str, Any, Mapping[str, Any]]]:
    """Return (name, flat model, its row of the leaderboard)."""
    data, count = prepared.data, len(prepared.data.target)
    if rows.rows < LEAST_GAIN * count or not len(watched):
        return []
    joined = Data(
        np.concatenate([data.values, watched]), data.columns, np.concatenate([data.target, target]),
        None if data.weight is None else np.concatenate([data.weight, np.ones(len(watched))]),
    )  # fmt: skip
    fitted: list[tuple[str, Any, Mapping[str, Any]]] = []
    chosen = _choose(outcome, learners)
    for number, entry in enumerate(chosen):
        learner = learners[entry["learner"]]
        if not isinstance(learner, Distributed) or clock.left <= 0:
            break
        seconds = None if clock.limit is None else max(0.5, 0.8 * clock.left / (len(chosen) - number))
        job = Job(
            data=joined, train=np.arange(count), valid=np.arange(count, len(joined.target)), task=prepared.coder.task,
            classes=len(prepared.coder.classes), params=entry["params"], seconds=seconds, seed=number, threads=threads,
            objective=metric.objective,
        )  # fmt: skip
        found = learner.fit_distributed(rows, job)
        flat = found.export() if isinstance(found, Exports) else None
        if flat is not None:
            fitted.append((entry["name"], flat, {**entry, "rounds": found.rounds}))
    return fitted


def _choose(outcome: Outcome, learners: Mapping[str, Learner]) -> Sequence[Mapping[str, Any]]:
    """Return the best trials of learners that can; the leaderboard has the best first."""
    able = [
        row for row in outcome.leaderboard.rows
        if row["loss"] is not None and isinstance(learners.get(row["learner"]), Distributed)
    ]  # fmt: skip
    return able[:MEMBERS]


def _mix(
    model: Model,
    fitted: Sequence[tuple[str, Any, Mapping[str, Any]]],
    metric: Metric,
    watched: NDArray[np.float32],
    target: NDArray[np.float64],
    rows: int,
) -> None:
    old = model.predictor
    own = Predictor([Part(flat, 1 / len(fitted)) for _, flat, _ in fitted], classes=old.classes, columns=old.columns)
    before, after = old.predict(watched), own.predict(watched)
    losses = [metric.loss(target, (1 - share) * before + share * after) for share in SHARES]
    share = SHARES[int(np.argmin(losses))]
    log.info("models of %d rows weigh %.0f %% of the ensemble", rows, 100 * share)
    parts = [Part(part.flat, part.weight * (1 - share)) for part in old.parts if share < 1]
    parts += [Part(flat, share / len(fitted)) for _, flat, _ in fitted if share > 0]
    opaque = [_weighed(member, 1 - share) for member in old.opaque if share < 1]
    temperature = old.temperature if share < 1 else 1.0
    model.predictor = Predictor(parts, opaque, classes=old.classes, temperature=temperature, columns=old.columns)
    model._importance = None
    for row in model._leaderboard:
        row["weight"] = round(row["weight"] * (1 - share), 4) if row["name"] != "ensemble" else row["weight"]
    model._leaderboard += [
        {**entry, "rank": len(model._leaderboard) + number, "name": f"{name} on all rows", "score": None, "loss": None,
         "weight": round(share / len(fitted), 4), "view": "base", "rows": rows, "state": "refitted"}
        for number, (name, _, entry) in enumerate(fitted)
    ]  # fmt: skip
    if share > 0:
        model.info["learned_rows"] = rows


def _weighed(member: Any, share: float) -> Any:
    from dataclasses import replace

    return replace(member, weight=member.weight * share)
