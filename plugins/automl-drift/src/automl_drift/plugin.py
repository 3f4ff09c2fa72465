"""Drift and performance of models in production."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Monitor, Provider, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_drift.settings import DriftSettings

    return DriftSettings


def build(context: Context) -> Monitor:
    from automl_drift.monitor import DriftMonitor
    from automl_drift.settings import DriftSettings

    settings = context.settings(DriftSettings)
    return DriftMonitor(**settings.model_dump())


@hookimpl
def automl_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider("drift", build, "Compare what a model is asked with what it was trained on.", _settings)
