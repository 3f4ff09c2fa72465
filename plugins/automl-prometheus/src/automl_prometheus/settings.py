"""The settings of the plugin."""

from __future__ import annotations

from pydantic import Field

from automl_core.settings import PluginSettings

__all__ = ["PrometheusSettings"]


class PrometheusSettings(PluginSettings):
    textfile: str = Field(
        "",
        description="As a listener: a file that tells of the latest study, for the node exporter's textfile collector.",
    )
