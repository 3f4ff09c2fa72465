"""The monitor `opentelemetry`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl_core import Event, Monitor

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider

__all__ = ["BUCKETS", "OpenTelemetryMonitor"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)  # seconds
log = logging.getLogger("automl.opentelemetry")


class OpenTelemetryMonitor(Monitor):
    """Adds events of the prediction service up in memory; the SDK's thread sends the sums.

    All carry `automl.model.name`, and `automl.model.version` where an event names it. Events of other names are ignored.

    - "prediction" (but a shadow's): counters `automl.requests`, `automl.predictions` (rows), `automl.cache.hits` (rows),
      histogram `automl.request.duration` in seconds.
    - "failure": counter `automl.errors` by `error.type`, those of the caller included.
    - "score": gauge `automl.model.score` by `automl.metric`.
    - "drift", "degradation": counter `automl.alerts` by `automl.alert.kind`.
    """

    def __init__(self, meters: MeterProvider) -> None:
        self._meters, self._closed = meters, False
        meter = meters.get_meter("automl")
        self._requests = meter.create_counter("automl.requests", "{request}", "Answered requests.")
        self._rows = meter.create_counter("automl.predictions", "{row}", "Rows predicted.")
        self._hits = meter.create_counter("automl.cache.hits", "{row}", "Rows answered from the cache.")
        self._duration = meter.create_histogram(
            "automl.request.duration",
            "s",
            "Time from request to answer.",
            explicit_bucket_boundaries_advisory=BUCKETS,
        )
        self._errors = meter.create_counter("automl.errors", "{request}", "Requests without an answer.")
        self._score = meter.create_gauge("automl.model.score", "1", "Score of the served model.")
        self._alerts = meter.create_counter("automl.alerts", "{alert}", "Alerts raised.")
        self._takes = {
            "prediction": self._prediction,
            "failure": self._failure,
            "score": self._take_score,
            "drift": self._alert,
            "degradation": self._alert,
        }

    def emit(self, event: Event) -> None:
        take = self._takes.get(event.name)
        if take is None or self._closed:
            return
        try:
            take(event.name, event.attributes)
        except Exception as error:  # noqa: BLE001 - an event of any shape must not reach the caller
            log.debug("an event %r was dropped: %r", event.name, error)

    def close(self) -> None:
        """Send what is left, within the timeout of a request; a receiver that is down costs a log line."""
        if not self._closed:
            self._closed = True
            self._meters.shutdown()

    def _prediction(self, _: str, told: Mapping[str, Any]) -> None:
        if told.get("shadow"):
            return
        labels, seconds = _labels(told), told.get("seconds", ())
        self._requests.add(int(told.get("requests", len(seconds))), labels)
        self._rows.add(int(told.get("rows", 1)), labels)
        self._hits.add(int(told.get("hits", 0)), labels)
        for one in seconds:
            self._duration.record(float(one), labels)

    def _failure(self, _: str, told: Mapping[str, Any]) -> None:
        for kind, count in told["errors"].items():
            self._errors.add(int(count), {**_labels(told), "error.type": str(kind)})

    def _take_score(self, _: str, told: Mapping[str, Any]) -> None:
        self._score.set(float(told["value"]), {**_labels(told), "automl.metric": str(told["metric"])})

    def _alert(self, name: str, told: Mapping[str, Any]) -> None:
        self._alerts.add(1, {**_labels(told), "automl.alert.kind": name})


def _labels(told: Mapping[str, Any]) -> dict[str, str]:
    labels = {"automl.model.name": str(told.get("model", ""))}
    if told.get("version"):
        labels["automl.model.version"] = str(told["version"])
    return labels
