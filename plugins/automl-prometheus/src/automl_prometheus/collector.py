"""The metrics, under the names that dashboards and alert rules use."""

from __future__ import annotations

import math
import os
from bisect import bisect_left
from collections import Counter as Counted
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from automl_core import DataError
from automl_prometheus.workers import hold

__all__ = ["BUCKETS", "CONTENT_TYPE", "MetricsCollector"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# The client's own start at 5 ms, by which time a table's row was predicted many times; .1 is the objective of the rules.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
DECISIONS = "automl_retrain_decisions"
MOST_MODELS = 100  # each is a set of series; further ones share the name "other"
WELL = frozenset({"success", "ok"})


class Latencies(Histogram):
    """A histogram that takes many observations at once: one by one they cost the server 2 microseconds a request."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        self._sum.inc(math.fsum(amounts))
        for place, count in Counted(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)


class MetricsCollector:
    """Counts requests per model. Thread-safe.

    With the environment variable PROMETHEUS_MULTIPROC_DIR set before prometheus_client is imported, all workers of a
    server write there, and each of them exports the sum.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        model = ["model"]
        make: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter("automl_requests", "Requests, failed ones included.", model, **make)
        self._errors = Counter("automl_errors", "Requests that the service failed to answer.", model, **make)
        self._latency = Latencies(
            "automl_request_latency_seconds", "Time from request to answer.", model, buckets=BUCKETS, **make
        )
        self._predictions = Counter("automl_predictions", "Rows predicted.", model, **make)
        self._hits = Counter("automl_cache_hits", "Rows answered from the cache.", model, **make)
        self._misses = Counter("automl_cache_misses", "Rows looked up in the cache in vain.", model, **make)
        self._alerts = Counter("automl_alerts", "Alerts raised, by what they are about.", [*model, "kind"], **make)
        self._dropped = Counter("automl_monitor_dropped_events", "Events that could not be read.", **make)
        latest: dict[str, Any] = {"multiprocess_mode": "mostrecent", **make}
        greatest: dict[str, Any] = {"multiprocess_mode": "max", **make}
        self._score = Gauge("automl_model_score", "Score of the served model.", [*model, "metric"], **latest)
        self._loaded = Gauge(
            "automl_model_loaded_timestamp_seconds", "When this version was loaded.", [*model, "version"], **latest
        )
        self._labels = Counter("automl_labels", "Predictions whose truth came.", model, **make)
        self._age = Gauge("automl_label_age_seconds", "From a prediction to its truth, of late.", model, **latest)
        self._decisions = Gauge(
            DECISIONS, "Entries of the journal of retraining, by outcome.", [*model, "outcome"], **greatest
        )
        self._decided = Gauge(
            "automl_retrain_last_decision_timestamp_seconds", "When it was last so.", [*model, "outcome"], **greatest
        )
        self._in_a_row = Gauge(
            "automl_retrain_in_a_row", "How many runs, up to the last one, ended so.", [*model, "outcome"], **latest
        )
        self._champion, self._challenger = (
            Gauge(f"automl_retrain_{who}_score", f"Score of the {who} when they were last compared.", [*model, "metric"], **latest)
            for who in ("champion", "challenger")
        )  # fmt: skip
        self._children: dict[str, tuple[Any, ...]] = {}
        self._lock = Lock()

    def record_request(
        self, model_id: str, latency: float, status: str | int = "success", num_predictions: int = 1
    ) -> None:
        """Count a request.

        Args:
            latency: in seconds.
            status: "success" or "ok", or an HTTP status; anything else, and 500 or more, is an error of the service.

        Raises:
            DataError: the latency or the number of predictions is negative or not finite.
        """
        if not (math.isfinite(latency) and latency >= 0 and num_predictions >= 0):
            raise DataError(f"a request of {latency} seconds with {num_predictions} predictions cannot be counted.")
        requests, errors, latencies, predictions, _, _ = self._of(model_id)
        requests.inc()
        latencies.observe(latency)
        if _failed(status):
            errors.inc()
        else:
            predictions.inc(num_predictions)

    def record_requests(self, model_id: str, latencies: Sequence[float], num_predictions: int) -> None:
        """Count requests that were answered, each with its latency in seconds."""
        requests, _, histogram, predictions, _, _ = self._of(model_id)
        requests.inc(len(latencies))
        histogram.observe_all(latencies)
        predictions.inc(num_predictions)

    def record_failures(self, model_id: str, failed: int, refused: int = 0) -> None:
        """Count requests that the service failed to answer, and those that it rightly refused, which are no errors."""
        children = self._of(model_id)
        children[0].inc(failed + refused)
        children[1].inc(failed)

    def record_cache(self, model_id: str, hits: int, misses: int) -> None:
        """Count rows that were answered from the cache, and those that were not there."""
        children = self._of(model_id)
        children[4].inc(hits)
        children[5].inc(misses)

    def record_alert(self, model_id: str, kind: str) -> None:
        self._alerts.labels(self._name(model_id), kind).inc()

    def record_labels(self, model_id: str, rows: int, age: float) -> None:
        """Count predictions whose truth came; `age` is the longest wait for it, in seconds."""
        name = self._name(model_id)
        self._labels.labels(name).inc(rows)
        self._age.labels(name).set(age)

    def record_dropped(self) -> None:
        self._dropped.inc()

    def set_score(self, model_id: str, metric: str, score: float) -> None:
        """Say what the served model scores now."""
        self._score.labels(self._name(model_id), metric).set(score)

    def set_model(self, model_id: str, version: str, loaded: float, scores: Mapping[str, float] | None = None) -> None:
        """Say that a version is served since `loaded`, seconds since 1970; all its counters exist from now on, at 0.

        Without that, the first error would be invisible to `rate`, and a ratio without errors empty instead of 0.
        """
        self._of(model_id)
        self._loaded.labels(self._name(model_id), version).set(loaded)
        for metric, score in (scores or {}).items():
            self.set_score(model_id, metric, score)

    def set_retraining(
        self,
        model_id: str,
        decisions: Mapping[str, int],
        last: Mapping[str, float],
        in_a_row: Mapping[str, int],
        comparison: Mapping[str, Any],
    ) -> None:
        """Say what a journal of retraining holds so far; the same from any worker, which does not count twice.

        Args:
            decisions, last, in_a_row: by outcome; `last` in seconds since 1970.
            comparison: "metric", "champion" and "challenger"; empty where no models were compared yet.
        """
        name = self._name(model_id)
        for gauge, values in ((self._decisions, decisions), (self._decided, last), (self._in_a_row, in_a_row)):
            for outcome, value in values.items():
                gauge.labels(name, outcome).set(value)
        if comparison:
            self._champion.labels(name, comparison["metric"]).set(comparison["champion"])
            self._challenger.labels(name, comparison["metric"]).set(comparison["challenger"])

    def export_metrics(self) -> str:
        """Return all metrics in Prometheus's text format, those of other workers included."""
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if not directory:
            return generate_latest(_Totals(self._registry)).decode()
        with hold(Path(directory), exclusive=False):
            return generate_latest(_Totals(MultiProcessCollector(None, path=directory))).decode()  # type: ignore[no-untyped-call]

    def _of(self, model_id: str) -> tuple[Any, ...]:
        children = self._children.get(model_id)
        if children is None:
            name = self._name(model_id)
            metrics = (self._requests, self._errors, self._latency, self._predictions, self._hits, self._misses)
            children = tuple(metric.labels(name) for metric in metrics)
            with self._lock:
                if len(self._children) < MOST_MODELS:
                    self._children[model_id] = children
        return children

    def _name(self, model_id: str) -> str:
        return model_id if model_id in self._children or len(self._children) < MOST_MODELS else "other"


class _Totals(Collector):
    """Tells decisions as the counter that they are: a client's own would add up what each worker read of one journal."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        for metric in self._source.collect():
            if metric.name == DECISIONS:
                metric.type = "counter"
                metric.samples = [sample._replace(name=f"{DECISIONS}_total") for sample in metric.samples]
            yield metric


def _failed(status: str | int) -> bool:
    text = str(status).lower()
    return int(text) >= 500 if text.isdigit() else text not in WELL
