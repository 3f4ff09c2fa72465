"""What `AutoML.fit` does with a table that memory cannot hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.closing import close_aside
from automl.large.batches import open_batches
from automl.large.curve import choose_sample
from automl.large.judge import score_held_out, tell_fates
from automl.large.refit import learn_from_all
from automl.large.survey import Survey, take_survey
from automl.metrics import resolve_metric
from automl.study.clock import Clock
from automl_core import ComponentUnavailable, DataError, FitsTogether, Learner

if TYPE_CHECKING:
    from automl.engine import AutoML
    from automl.prepare import Prepared
    from automl.study.problem import Outcome
    from automl_core import Plugins

__all__ = ["finish_large", "sample_large", "search_clock", "survey_large"]

SEARCH_SHARE = 0.6  # of the time after the survey; the rest is for fits on all rows
PASS_SHARE = 1.5  # of the seconds of the survey, that reading all rows again and predicting some takes
LEAST_SHARE = 0.05  # of the limit, that is kept for it at least
log = logging.getLogger("automl.large")


def survey_large(
    engine: AutoML, data: Any, target: str | None, given: Mapping[str, Any], plugins: Plugins
) -> Survey | None:
    """Read all rows once if the table is too large for memory; else None.

    Raises:
        DataError: the target is not there, or what says how to learn is not in the table.
    """
    batches = open_batches(data, limit=engine.memory_limit, plugins=plugins)
    if batches is None:
        return None
    if engine.monotone:
        raise DataError("monotone columns need the table in memory: raise memory_limit, or fit on a sample.")
    arrays = [name for name, value in given.items() if value is not None and not isinstance(value, str)]
    if arrays:
        raise DataError(f"{arrays[0]}: of a table that is read in batches it must be a column's name.")
    # Beside a row at random there would be others of its group, or later ones, among those learned from.
    held_out = 0 if _ordered(given) else engine.held_out_rows
    return take_survey(batches, target, seed=engine.seed, held_out=held_out)


def _ordered(given: Mapping[str, Any]) -> bool:
    return given.get("groups") is not None or given.get("time") is not None


def search_clock(clock: Clock, survey: Survey) -> Clock:
    """Return the clock of the search, which leaves time for fits on all rows."""
    if clock.limit is None or survey.complete:
        return clock
    return Clock(clock.elapsed + SEARCH_SHARE * (clock.limit - clock.elapsed), clock.started)


def sample_large(
    engine: AutoML, survey: Survey, prepared: Prepared, plugins: Plugins, *, given: Mapping[str, Any], clock: Clock
) -> Prepared:
    """Return as many rows of the sample as a search by this clock needs; all where they are all that is learned from."""
    if survey.complete or _ordered(given):
        return prepared
    learners = plugins.build_all("learner", plugins.settings.learners)
    try:
        return choose_sample(
            prepared, survey, learners, metric=resolve_metric(engine.metric, prepared.coder.task), clock=clock,
            seed=engine.seed, threads=plugins.threads,
        )  # fmt: skip
    finally:
        for learner in learners.values():
            learner.close()


def finish_large(
    engine: AutoML,
    survey: Survey,
    prepared: Prepared,
    outcome: Outcome,
    plugins: Plugins,
    *,
    given: Mapping[str, Any],
    clock: Clock,
) -> None:
    """Let the best configurations learn from all rows, and score the model on the held-out ones.

    Where groups or time order the rows, the sample is all that is learned from, and no row is held out.
    """
    model, threads = engine.model_, plugins.threads
    survey.batches = survey.batches.coded(prepared.encoder.categories)
    metric = resolve_metric(engine.metric, model.task)
    if not (survey.complete or _ordered(given)):
        learners = plugins.build_all("learner", plugins.settings.learners)
        executor = _workers(plugins, outcome, learners)
        try:
            learn_from_all(
                model, survey, prepared, outcome, learners=learners, metric=metric, threads=threads,
                clock=_before_scoring(clock, survey), weight=given.get("sample_weight"), executor=executor,
            )  # fmt: skip
        finally:
            if executor is not None:
                close_aside(executor)
            for learner in learners.values():
                learner.close()
    if survey.held_out:
        score_held_out(model, survey, prepared.coder, metric=metric, clock=clock, threads=threads)
    tell_fates(model, survey, len(prepared.data.target))


def _workers(plugins: Plugins, outcome: Outcome, learners: Mapping[str, Learner]) -> Any:
    """Return the executor whose workers fit together, None where there is none, or no learner that can."""
    if not (outcome.gangs and any(isinstance(learner, FitsTogether) for learner in learners.values())):
        return None
    try:
        return plugins.build("executor", plugins.settings.executor)
    except ComponentUnavailable as error:
        log.warning("fits on all rows run in this process alone: %s", error)
        return None


def _before_scoring(clock: Clock, survey: Survey) -> Clock:
    """Return the clock of the fits on all rows, which leaves time for one more pass."""
    if clock.limit is None or not survey.held_out:
        return clock
    seconds = max(PASS_SHARE * survey.seconds, LEAST_SHARE * clock.limit)
    return Clock(clock.limit - min(seconds, 0.5 * max(clock.left, 0.0)), clock.started)
