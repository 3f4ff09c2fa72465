"""Metrics of the prediction service for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Monitor, Provider, hookimpl


def build(context: Context) -> Monitor:
    from automl_core import PluginSettings
    from automl_prometheus.monitor import PrometheusMonitor

    context.settings(PluginSettings)  # there is nothing to set: a setting is a mistake
    return PrometheusMonitor()


@hookimpl
def automl_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider("prometheus", build, "Count requests, errors, latency, cache hits and scores for Prometheus.")
