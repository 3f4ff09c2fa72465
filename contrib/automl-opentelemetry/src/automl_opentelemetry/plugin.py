"""Monitor and tracker `opentelemetry`: predictions, and studies, as metrics and spans."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Monitor, Provider, Tracker, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_opentelemetry.settings import OpenTelemetrySettings

    return OpenTelemetrySettings


def build_monitor(context: Context) -> Monitor:
    from automl_opentelemetry.exporting import make_meters
    from automl_opentelemetry.monitor import OpenTelemetryMonitor
    from automl_opentelemetry.settings import OpenTelemetrySettings

    return OpenTelemetryMonitor(make_meters(context.settings(OpenTelemetrySettings)))


def build_tracker(context: Context) -> Tracker:
    from automl_opentelemetry.exporting import make_meters, make_tracers
    from automl_opentelemetry.settings import OpenTelemetrySettings
    from automl_opentelemetry.tracker import OpenTelemetryTracker

    settings = context.settings(OpenTelemetrySettings)
    return OpenTelemetryTracker(make_tracers(settings), make_meters(settings))


@hookimpl
def automl_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider("opentelemetry", build_monitor, "Send metrics of predictions over OTLP.", _settings)


@hookimpl
def automl_trackers() -> Iterable[Provider[Tracker]]:
    yield Provider("opentelemetry", build_tracker, "Send a span per study and trial over OTLP.", _settings)
