"""Metrics, drift and performance of models in production, under the production guide's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.plugged import plugged

if TYPE_CHECKING:
    from automl_drift.detector import DriftDetector
    from automl_drift.performance import PerformanceMonitor
    from automl_prometheus.collector import MetricsCollector

__all__ = ["DriftDetector", "MetricsCollector", "PerformanceMonitor"]

__getattr__ = plugged(
    __name__,
    {
        "DriftDetector": "automl_drift.detector",
        "MetricsCollector": "automl_prometheus.collector",
        "PerformanceMonitor": "automl_drift.performance",
    },
)
