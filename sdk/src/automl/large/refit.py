"""The best of the search once more, on all rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.large.job import watched_job
from automl.large.together import Rows, fit_together
from automl.predictor import Part, Predictor
from automl_core import Distributed, Exports, FitsTogether, Job, Learner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.large.survey import Survey
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
    """The learnable rows, encoded batch by batch; those of the smallest hashes where not all fit."""

    def __init__(self, survey: Survey, rows: Rows) -> None:
        self._survey, self._rows = survey, rows
        each = len(rows.encoder.columns) + BYTES_PER_ROW + 8 * max(2, len(rows.coder.classes))
        room = int(BIN_SHARE * survey.batches.limit / each)
        self._highest = 2**64 - 1 if room >= survey.learnable else int(room / survey.learnable * 2**64)

    @cached_property
    def rows(self) -> int:
        """How many there are."""
        if self._highest == 2**64 - 1:
            return self._survey.learnable
        return sum(table.num_rows for table in self._survey.learnable_rows(self._highest))

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]]:
        return map(self._rows.encode, self._survey.learnable_rows(self._highest))


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
    executor: Any = None,
) -> None:
    """Fit the best configurations on all rows, and let the watched rows say how much they weigh in the model.

    Changes `model` in place: its predictor, leaderboard and info.

    Args:
        executor: one of `Gangs`, whose workers fit together what learners can; None fits in this process.
    """
    for row in model._leaderboard:
        row["rows"] = len(prepared.data.target)
    rows = Rows(prepared.encoder, prepared.coder, survey.target, weight)
    watched, target, _ = rows.encode(survey.watched)
    if not len(watched) or survey.learnable < LEAST_GAIN * len(prepared.data.target):
        return
    able = [
        row for row in outcome.leaderboard.rows
        if row["loss"] is not None and isinstance(learners.get(row["learner"]), Distributed)
    ]  # fmt: skip
    job = watched_job(prepared, slice(None), (watched, target), metric, params={}, threads=threads)
    fits = _Fits(survey, rows, AllRows(survey, rows), clock, executor, [])
    fitted = fits.fit(able[:MEMBERS], learners, job)  # the leaderboard has the best first
    model.info["warnings"] = [*model.info.get("warnings", ()), *fits.warnings]
    if fitted:
        _mix(model, fitted, metric, watched, target)


@dataclass(slots=True)
class _Fits:
    """Fits on all rows, by workers together as long as these last, else in this process.

    Attributes:
        warnings: why workers did not end a fit.
    """

    survey: Survey
    rows: Rows
    here: AllRows
    clock: Clock
    executor: Any
    warnings: list[str]

    def fit(
        self, chosen: Sequence[Mapping[str, Any]], learners: Mapping[str, Learner], job: Job
    ) -> list[tuple[Any, Mapping[str, Any]]]:
        """Return flat models, each with its row of the leaderboard."""
        fitted: list[tuple[Any, Mapping[str, Any]]] = []
        for number, entry in enumerate(chosen):
            job = replace(job, params=entry["params"], seed=number)
            left = len(chosen) - number
            found = self._together(learners[entry["learner"]], job, left)
            found = self._alone(learners[entry["learner"]], job, left) if found is None else found
            if found is None:
                break
            fit, rows, state = found
            flat = fit.export() if isinstance(fit, Exports) else None
            if flat is not None:
                name = f"{entry['name']} on all rows"
                fitted.append((flat, {**entry, "name": name, "rounds": fit.rounds, "rows": rows, "state": state}))
        return fitted

    def _seconds(self, left: int) -> float | None:
        return None if self.clock.limit is None else max(0.5, 0.8 * self.clock.left / left)

    def _together(self, learner: Any, job: Job, left: int) -> tuple[Any, int, str] | None:
        if self.executor is None or not isinstance(learner, FitsTogether) or self.clock.left <= 0:
            return None
        seconds = None if self.clock.limit is None else self.clock.left
        try:
            job = replace(job, seconds=self._seconds(left))
            found, members = fit_together(learner, self.executor, self.survey, self.rows, job, seconds=seconds)
        except Exception as error:  # noqa: BLE001 - whatever ends them, this process can still fit
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            said = f"workers did not end a fit on all rows, which was then left to one process: {why}"
            log.warning("%s", said)
            self.warnings.append(said)
            self.executor = None
            return None
        log.info("%d workers fitted %d rows together", members, self.survey.learnable)
        return found, self.survey.learnable, f"refitted by {members} workers"

    def _alone(self, learner: Any, job: Job, left: int) -> tuple[Any, int, str] | None:
        if self.clock.left <= 0 or self.here.rows < LEAST_GAIN * len(job.train):
            return None
        return learner.fit_distributed(self.here, replace(job, seconds=self._seconds(left))), self.here.rows, "refitted"


def _mix(
    model: Model,
    fitted: Sequence[tuple[Any, Mapping[str, Any]]],
    metric: Metric,
    watched: NDArray[np.float32],
    target: NDArray[np.float64],
) -> None:
    old, rows = model.predictor, max(entry["rows"] for _, entry in fitted)
    own = Predictor([Part(flat, 1 / len(fitted)) for flat, _ in fitted], classes=old.classes, columns=old.columns)
    before, after = old.predict(watched), own.predict(watched)
    losses = [metric.loss(target, (1 - share) * before + share * after) for share in SHARES]
    share = SHARES[int(np.argmin(losses))]
    log.info("models of %d rows weigh %.0f %% of the ensemble", rows, 100 * share)
    parts = [Part(part.flat, part.weight * (1 - share)) for part in old.parts if share < 1]
    parts += [Part(flat, share / len(fitted)) for flat, _ in fitted if share > 0]
    opaque = [replace(member, weight=member.weight * (1 - share)) for member in old.opaque if share < 1]
    temperature = old.temperature if share < 1 else 1.0
    model.predictor = Predictor(parts, opaque, classes=old.classes, temperature=temperature, columns=old.columns)
    model._importance = None
    for row in model._leaderboard:
        row["weight"] = round(row["weight"] * (1 - share), 4) if row["name"] != "ensemble" else row["weight"]
    model._leaderboard += [
        {**entry, "rank": len(model._leaderboard) + number, "score": None, "loss": None,
         "weight": round(share / len(fitted), 4), "view": "base"}
        for number, (_, entry) in enumerate(fitted)
    ]  # fmt: skip
    if share > 0:
        model.info["learned_rows"] = rows
