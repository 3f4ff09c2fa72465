"""The monitor `prometheus`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from automl_core import Event, Monitor
from automl_prometheus.collector import CONTENT_TYPE, MetricsCollector

__all__ = ["PrometheusMonitor"]

# Kinds of errors that are the caller's; of HTTP's 4xx, 429 is not: the service was too slow.
REFUSED = frozenset({"DataError", "TooManyRows", "Unknown", *map(str, range(400, 429)), *map(str, range(430, 500))})
log = logging.getLogger("automl.prometheus")


class PrometheusMonitor(Monitor):
    """Counts events of the prediction service; a few microseconds each, in the emitting thread.

    Events, all attributes but `model` optional:

    - "model": `model`, `version`, `scores` (by metric): a version is served from now on.
    - "prediction": `model`, `seconds` (a latency per request), `rows`; `hits` of the cache, in rows. Those with a true
      `shadow` are left out, as their answers went to nobody.
    - "failure": `model`, `errors` (a count by kind); those of the caller count as requests alone.
    - "score": `model`, `metric`, `value`.
    - any event with a `model` named "drift" or "degradation": an alert of that kind.
    - "label": `model`, `truths`, `ages` (seconds from prediction to truth).
    - "retraining": `model`; `decisions`, `last` and `in_a_row` by outcome, and the last `comparison`: all that a journal of
      retraining holds. See `MetricsCollector.set_retraining`.
    """

    def __init__(self) -> None:
        self.metrics = MetricsCollector()
        self._takes = {
            "model": self._model,
            "prediction": self._prediction,
            "failure": self._failure,
            "score": self._score,
            "drift": self._alert,
            "degradation": self._alert,
            "label": self._label,
            "retraining": self._retraining,
        }

    def emit(self, event: Event) -> None:
        take = self._takes.get(event.name)
        if take is None:
            return
        try:
            take(event, event.attributes)
        except Exception as error:  # noqa: BLE001 - an event of any shape must not reach the caller
            log.debug("an event %r was dropped: %r", event.name, error)
            self.metrics.record_dropped()

    def expose(self) -> tuple[str, bytes]:
        return CONTENT_TYPE, self.metrics.export_metrics().encode()

    def _model(self, event: Event, told: Mapping[str, Any]) -> None:
        self.metrics.set_model(str(told["model"]), str(told.get("version", "")), event.time, told.get("scores"))

    def _prediction(self, _: Event, told: Mapping[str, Any]) -> None:
        if told.get("shadow"):
            return
        model, rows = str(told["model"]), int(told.get("rows", 1))
        self.metrics.record_requests(model, told.get("seconds", ()), rows)
        if "hits" in told:
            self.metrics.record_cache(model, int(told["hits"]), rows - int(told["hits"]))

    def _failure(self, _: Event, told: Mapping[str, Any]) -> None:
        errors = told["errors"]
        refused = sum(count for kind, count in errors.items() if kind in REFUSED)
        self.metrics.record_failures(str(told["model"]), sum(errors.values()) - refused, refused)

    def _score(self, _: Event, told: Mapping[str, Any]) -> None:
        self.metrics.set_score(str(told["model"]), str(told["metric"]), float(told["value"]))

    def _label(self, _: Event, told: Mapping[str, Any]) -> None:
        self.metrics.record_labels(str(told["model"]), len(told["truths"]), max(told["ages"], default=0.0))

    def _alert(self, event: Event, told: Mapping[str, Any]) -> None:
        self.metrics.record_alert(str(told["model"]), event.name)

    def _retraining(self, _: Event, told: Mapping[str, Any]) -> None:
        said = (told[key] for key in ("decisions", "last", "in_a_row", "comparison"))
        self.metrics.set_retraining(str(told["model"]), *said)
