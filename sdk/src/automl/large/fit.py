"""What `AutoML.fit` does with a table that memory cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.large.batches import open_batches
from automl.large.refit import learn_from_all
from automl.large.survey import Survey, take_survey
from automl.study.clock import Clock
from automl_core import DataError

if TYPE_CHECKING:
    from automl.metrics import Metric
    from automl.model import Model
    from automl.prepare import Prepared
    from automl.study.problem import Outcome
    from automl_core import Plugins

__all__ = ["finish_large", "search_clock", "survey_large"]

SEARCH_SHARE = 0.6  # of the time after the survey; the rest is for fits on all rows


def survey_large(
    data: Any,
    *,
    target: str | None,
    given: Mapping[str, Any],
    seed: int,
    limit: int | None,
    plugins: Plugins | None = None,
) -> Survey | None:
    """Read all rows once if the table is too large for memory; else None.

    Args:
        plugins: whose settings reach the clouds; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: the target is not there, or what says how to learn is not in the table.
    """
    batches = open_batches(data, limit=limit, plugins=plugins)
    if batches is None:
        return None
    arrays = [name for name, value in given.items() if value is not None and not isinstance(value, str)]
    if arrays:
        raise DataError(f"{arrays[0]}: of a table that is read in batches it must be a column's name.")
    return take_survey(batches, target, seed=seed)


def search_clock(clock: Clock, survey: Survey) -> Clock:
    """Return the clock of the search, which leaves time for fits on all rows."""
    if clock.limit is None or survey.complete:
        return clock
    return Clock(clock.elapsed + SEARCH_SHARE * (clock.limit - clock.elapsed), clock.started)


def finish_large(
    model: Model,
    survey: Survey,
    prepared: Prepared,
    outcome: Outcome,
    plugins: Plugins,
    *,
    given: Mapping[str, Any],
    metric: Metric,
    clock: Clock,
    threads: int,
) -> None:
    """Let the best configurations learn from all rows; where groups or time order the rows, the sample is all."""
    if survey.complete or given.get("groups") is not None or given.get("time") is not None:
        model.info |= {"all_rows": survey.rows, "learned_rows": len(prepared.data.target)}
        return
    learners = plugins.build_all("learner", plugins.settings.learners)
    learn_from_all(
        model, survey, prepared, outcome, learners=learners, metric=metric, clock=clock, threads=threads,
        weight=given.get("sample_weight"),
    )  # fmt: skip
