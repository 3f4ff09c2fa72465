"""Counts as Prometheus reads them."""

from __future__ import annotations

from typing import Any

from automl_core import Exposes

__all__ = ["CONTENT_TYPE", "expose"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTS = {
    "requests": "Requests for predictions, those that failed included.",
    "rows": "Rows predicted.",
    "local_hits": "Rows answered from the cache of the process.",
    "remote_hits": "Rows answered from the shared cache.",
    "misses": "Rows that no cache knew.",
    "errors": "Requests without a prediction.",
    "refused": "Requests refused because too much waited.",
    "dropped_events": "Events that monitors were not told of.",
    "reloads": "Models replaced by a newer file.",
}


def expose(service: Any) -> str:
    """Return the counts of all workers, and what monitors have to say."""
    totals = service.counters.totals()
    lines = []
    for name, told in COUNTS.items():
        lines += [f"# HELP automl_server_{name}_total {told}", f"# TYPE automl_server_{name}_total counter"]
        lines.append(f"automl_server_{name}_total {totals[name]}")
    for name, value, told in (
        ("connections", totals["opened"] - totals["closed"], "Open connections."),
        ("pending_rows", totals["pending_rows"], "Rows that wait for their prediction."),
    ):
        lines += [f"# HELP automl_server_{name} {told}", f"# TYPE automl_server_{name} gauge"]
        lines.append(f"automl_server_{name} {value}")
    lines += _latency(totals)
    return "\n".join([*lines, *_monitors(service), ""])


def _latency(totals: dict[str, int]) -> list[str]:
    name = "automl_server_latency_seconds"
    lines = [f"# HELP {name} From the whole request to the answer.", f"# TYPE {name} histogram"]
    count = 0
    for bucket in (key for key in totals if key.startswith("le_")):
        count += totals[bucket]
        bound = bucket.removeprefix("le_")
        lines.append(f'{name}_bucket{{le="{"+Inf" if bound == "inf" else bound}"}} {count}')
    return [*lines, f"{name}_sum {totals['nanoseconds'] / 1e9}", f"{name}_count {count}"]


def _monitors(service: Any) -> list[str]:
    texts = [monitor.expose()[1].decode() for monitor in service.monitors.values() if isinstance(monitor, Exposes)]
    return [text.rstrip("\n") for text in texts]
