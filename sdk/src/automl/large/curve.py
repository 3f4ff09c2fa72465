"""How many rows of the sample the search needs: twice as many again and again, until they help no longer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.large.job import watched_job
from automl.metrics import pinball_level, pinball_losses, row_losses
from automl.prepare import fingerprint
from automl.study.able import able_learners
from automl_core import Data, Distributed, Learner, Portfolio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.large.survey import Survey
    from automl.metrics import Metric
    from automl.prepare import Prepared
    from automl.study.clock import Clock

__all__ = ["choose_sample"]

FIRST = 4096  # rows
TIME_SHARE = 0.05  # of the time of the search
ERRORS = 2.0  # standard errors of the gain, within which it is noise
CUT = 0.9  # of its seconds, from which on a fit may have been cut short, so that its loss tells nothing
log = logging.getLogger("automl.large")


def choose_sample(
    prepared: Prepared,
    survey: Survey,
    learners: Mapping[str, Learner],
    *,
    metric: Metric,
    clock: Clock,
    seed: int,
    threads: int,
) -> Prepared:
    """Return as many rows of the sample as the search needs, by a learning curve.

    The first learner that fits on all rows learns from 4,096 rows, then from twice as many again and again, and predicts the
    watched rows. That ends where the gain is within two standard errors of the paired losses ("noise"), where the next fit
    would take more than a twentieth of the search's time in all ("time"), or where the sample ends ("memory"). Only noise
    leaves out rows: where time ends a curve that still rises, fewer rows cost more than the faster fits are worth (ROC AUC
    0.956 with 4,096 rows, 0.965 with all 21,537 of a sample, both in 30 seconds). All of the sample stays also where no
    learner fits on all rows, so that there are no later fits to make up for fewer rows.

    Returns:
        The rows, and in `curve` of them "ended", one of the words above, and "points": for each number of rows the loss, the
        gain and its noise (None of the first), and seconds.
    """
    able = able_learners(learners, task=prepared.coder.task, objective=metric.objective).values()
    learner = next((one for one in able if isinstance(one, Distributed)), None)
    count = len(prepared.data.target)
    if learner is None or count < 2 * FIRST or not survey.watched.num_rows:
        return prepared
    params, order = _configuration(learner, prepared), _order(prepared, seed)
    watched = prepared.encoder.encode(survey.watched), prepared.coder.encode(survey.watched[survey.target])

    def losses_of(rows: int, seconds: float | None) -> NDArray[np.float64]:
        job = watched_job(
            prepared, order[:rows], watched, metric, params=params, seed=seed, threads=threads, seconds=seconds
        )
        return _losses(learner.fit(job).predict(watched[0]), watched[1], metric)

    ended, points = _climb(losses_of, count, TIME_SHARE * max(clock.left, 0.0))
    if not points:
        return prepared
    kept = int(points[-1]["rows"]) if ended == "noise" else count
    log.info("the search learns from %d of the sample's %d rows: the learning curve ended by %s", kept, count, ended)
    return _take(prepared, np.sort(order[:kept]), {"ended": ended, "points": points})


def _climb(
    losses_of: Callable[[int, float | None], NDArray[np.float64]], count: int, budget: float
) -> tuple[str, list[dict[str, Any]]]:
    """Return what ended the curve, and its points; `losses_of` fits so many rows in so many seconds."""
    points: list[dict[str, Any]] = []
    before: NDArray[np.float64] | None = None
    rows = FIRST
    while True:
        began = time.monotonic()
        found = losses_of(rows, None if budget == float("inf") else max(budget, 0.05))
        took = time.monotonic() - began
        if took > CUT * budget:
            return "time", points
        point = {"rows": rows, "loss": float(found.mean()), "gain": None, "noise": None, "seconds": took}
        points.append(point)
        if before is not None:
            point["gain"] = gain = float((before - found).mean())
            point["noise"] = noise = ERRORS * float((before - found).std()) / len(found) ** 0.5
            if gain <= noise:
                return "noise", points
        if rows == count:
            return "memory", points
        before, budget = found, budget - took
        if 2 * took > CUT * budget:
            return "time", points
        rows = min(2 * rows, count)


def _configuration(learner: Learner, prepared: Prepared) -> Mapping[str, Any]:
    """Return the learner's first choice for the encoded columns."""
    data = prepared.data
    if not isinstance(learner, Portfolio):
        return {}
    candidates = learner.portfolio(prepared.coder.task, len(data.target), data.columns)
    best = min((one for one in candidates if one.view == "base"), key=lambda one: one.rank, default=None)
    return {} if best is None else best.params


def _order(prepared: Prepared, seed: int) -> NDArray[np.int64]:
    """Return the rows in an order of which every beginning is a sample, a row of each class first."""
    order = np.random.default_rng(seed).permutation(len(prepared.data.target))
    if not prepared.coder.classes:
        return order
    first = np.sort(np.unique(prepared.data.target[order], return_index=True)[1])
    return np.concatenate([order[first], np.delete(order, first)])


def _losses(said: NDArray[np.float64], target: NDArray[np.float64], metric: Metric) -> NDArray[np.float64]:
    level = pinball_level(metric.name)
    return row_losses(target, said) if level is None else pinball_losses(target, said, level)


def _take(prepared: Prepared, rows: NDArray[np.int64], curve: Mapping[str, Any]) -> Prepared:
    if len(rows) == len(prepared.data.target):
        return replace(prepared, curve=curve)
    data = prepared.data
    values, target = data.values[rows], data.target[rows]
    weight = None if data.weight is None else data.weight[rows]
    chosen = Data(values, data.columns, target, weight, fingerprint(values, target, weight))
    return replace(prepared, data=chosen, table=prepared.table.take(rows), curve=curve)
