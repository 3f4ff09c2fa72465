"""The settings of monitor and tracker `opentelemetry`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core import PluginSettings

__all__ = ["OpenTelemetrySettings"]


class OpenTelemetrySettings(PluginSettings):
    """Where telemetry goes; times are in seconds. OpenTelemetry's own `OTEL_*` variables say the rest."""

    endpoint: str = Field(
        "", description="Base URL of an OTLP/HTTP receiver; empty takes OTEL_EXPORTER_OTLP_ENDPOINT, or port 4318 here."
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Sent with each request, such as a receiver's token."
    )
    service_name: str = Field("automl", min_length=1, description="The resource attribute service.name.")
    interval: float = Field(10.0, gt=0, description="How often metrics are sent.")
    timeout: float = Field(5.0, gt=0, description="How long a request may take, its repetitions included.")
