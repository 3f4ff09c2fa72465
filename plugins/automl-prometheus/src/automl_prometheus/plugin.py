"""Metrics of the prediction service for Prometheus, and of a study."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Monitor, Provider, Study, Trial, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings
    from automl_prometheus.studies import StudyMetrics

_latest: list[StudyMetrics] = []


@hookimpl
def automl_settings() -> type[PluginSettings]:
    from automl_prometheus.settings import PrometheusSettings

    return PrometheusSettings


def build(context: Context) -> Monitor:
    from automl_prometheus.monitor import PrometheusMonitor
    from automl_prometheus.settings import PrometheusSettings

    context.settings(PrometheusSettings)
    return PrometheusMonitor()


@hookimpl
def automl_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider(
        "prometheus", build, "Count requests, errors, latency, cache hits and scores for Prometheus.", automl_settings
    )


# ---- a study, where the settings name a file for it


@hookimpl
def automl_study_started(study: Study) -> None:
    from automl_core.settings import load_settings, validate_block
    from automl_prometheus.settings import PrometheusSettings

    block = validate_block("prometheus", PrometheusSettings, load_settings().plugins.get("prometheus", {}))
    _latest.clear()
    if block.textfile:
        from automl_prometheus.studies import StudyMetrics

        _latest.append(StudyMetrics(study, block.textfile, time.time()))


@hookimpl
def automl_trial_finished(study: Study, trial: Trial) -> None:
    for metrics in _of(study):
        metrics.add(trial)


@hookimpl
def automl_study_finished(study: Study, error: BaseException | None) -> None:
    for metrics in _of(study):
        metrics.finish(time.time(), failed=error is not None)


def _of(study: Study) -> list[StudyMetrics]:
    return [metrics for metrics in _latest if metrics.study.id == study.id]
