"""Metrics, drift and performance of models in production, under the production guide's names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl_core.errors import PluginError

if TYPE_CHECKING:
    from automl_drift.detector import DriftDetector
    from automl_drift.performance import PerformanceMonitor
    from automl_prometheus.collector import MetricsCollector

__all__ = ["DriftDetector", "MetricsCollector", "PerformanceMonitor"]

_HOMES = {
    "DriftDetector": ("drift", "automl_drift.detector"),
    "MetricsCollector": ("prometheus", "automl_prometheus.collector"),
    "PerformanceMonitor": ("drift", "automl_drift.performance"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    extra, module = _HOMES[name]
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise
        raise PluginError(
            f"{name} comes with a plugin that is not installed: pip install 'automl-sdk[{extra}]'"
        ) from error
