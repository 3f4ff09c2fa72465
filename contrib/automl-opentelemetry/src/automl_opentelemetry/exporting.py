"""Providers of meters and tracers that send over OTLP/HTTP, from threads of the SDK.

They are this plugin's own: the providers that an application has set for the whole process stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from automl_opentelemetry.settings import OpenTelemetrySettings

__all__ = ["make_meters", "make_tracers"]

SPAN_DELAY = 1000  # milliseconds that an ended span may wait for others


def make_meters(settings: OpenTelemetrySettings) -> MeterProvider:
    """Return a provider whose metrics are sent every `interval` seconds, and when it is shut down."""
    exporter = OTLPMetricExporter(
        endpoint=_url(settings, "metrics"), headers=_headers(settings), timeout=settings.timeout
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1000 * settings.interval)
    return MeterProvider([reader], resource=_resource(settings))


def make_tracers(settings: OpenTelemetrySettings) -> TracerProvider:
    """Return a provider whose ended spans are sent in batches; what a full queue does not hold is dropped."""
    exporter = OTLPSpanExporter(endpoint=_url(settings, "traces"), headers=_headers(settings), timeout=settings.timeout)
    provider = TracerProvider(resource=_resource(settings))
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=SPAN_DELAY))
    return provider


def _url(settings: OpenTelemetrySettings, signal: str) -> str | None:
    return f"{settings.endpoint.rstrip('/')}/v1/{signal}" if settings.endpoint else None


def _headers(settings: OpenTelemetrySettings) -> dict[str, str] | None:
    return {name: value.get_secret_value() for name, value in settings.headers.items()} or None


def _resource(settings: OpenTelemetrySettings) -> Resource:
    # Workers of one server count each for itself: without an instance, a receiver would take them for one that jumps.
    return Resource.create({"service.name": settings.service_name, "service.instance.id": str(uuid4())})
