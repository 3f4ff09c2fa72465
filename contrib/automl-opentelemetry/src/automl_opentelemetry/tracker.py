"""The tracker `opentelemetry`."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from automl_core import Study, Tracker, Trial, TrialState

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["OpenTelemetryTracker"]

LONGEST = 4096  # characters of a text attribute
Attribute = str | bool | int | float


class OpenTelemetryTracker(Tracker):
    """A study is a trace: a span `study`, sent when it ends, with a span `trial` below it for each finished trial.

    A trial's span ends when the tracker is told, and is as long as its fits took. A span that was sent cannot be
    changed: of a trial that is logged twice, the later span is the valid one. A study that goes on is another trace
    with the same `automl.study.id`. Counter `automl.trials` and histogram `automl.trial.duration` in seconds, by
    `automl.learner` and `automl.trial.state`, are sent while the study runs.
    """

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracers, self._meters, self._closed = tracers, meters, False
        self._tracer = tracers.get_tracer("automl")
        meter = meters.get_meter("automl")
        self._trials = meter.create_counter("automl.trials", "{trial}", "Finished trials.")
        self._duration = meter.create_histogram("automl.trial.duration", "s", "Time of all fits of a trial.")
        self._study: Span | None = None

    def start(self, study: Study) -> None:
        self.finish()
        attributes: dict[str, Attribute | tuple[str, ...]] = {
            "automl.study.id": study.id,
            "automl.study.task": study.task,
            "automl.study.metric": study.metric,
            "automl.study.rows": study.rows,
            "automl.study.columns": study.columns,
            "automl.study.folds": study.folds,
            "automl.study.seed": study.seed,
            "automl.study.learners": study.learners,
        }
        self._study = self._tracer.start_span("study", attributes=attributes)

    def log(self, trial: Trial) -> None:
        ended = time_ns()
        seconds = trial.seconds if isfinite(trial.seconds) else 0.0
        span = self._tracer.start_span(
            "trial",
            context=None if self._study is None else set_span_in_context(self._study),
            attributes=_describe(trial),
            start_time=ended - int(1e9 * seconds),
        )
        if trial.state == TrialState.FAILED:
            span.set_status(Status(StatusCode.ERROR, (trial.error or "")[:LONGEST]))
        span.end(ended)
        labels = {"automl.learner": trial.learner, "automl.trial.state": str(trial.state)}
        self._trials.add(1, labels)
        self._duration.record(seconds, labels)

    def artifact(self, name: str, path: Path) -> None:
        """Note that there is a file, and its size in bytes; telemetry carries no files."""
        if self._study is not None:
            self._study.add_event("artifact", {"name": name, "bytes": path.stat().st_size})

    def finish(self, error: BaseException | None = None) -> None:
        if self._study is None:
            return
        if error is not None:
            self._study.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"[:LONGEST]))
        self._study.end()
        self._study = None

    def close(self) -> None:
        """Send what is left, within the timeout of a request for each signal; a dead receiver costs log lines."""
        if not self._closed:
            self._closed = True
            self.finish()
            self._tracers.shutdown()
            self._meters.shutdown()


def _describe(trial: Trial) -> dict[str, Attribute]:
    told: dict[str, Any] = {
        "automl.trial.id": trial.id,
        "automl.trial.state": str(trial.state),
        "automl.trial.origin": trial.origin,
        "automl.learner": trial.learner,
        "automl.trial.loss": trial.loss,
        "automl.trial.rounds": trial.rounds,
        **_prefixed("automl.params.", trial.params),
        **_prefixed("automl.metrics.", trial.metrics),
    }
    return {name: _attribute(value) for name, value in told.items() if value is not None}


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in values.items()}


def _attribute(value: Any) -> Attribute:
    return value if isinstance(value, bool | int | float) else str(value)[:LONGEST]
