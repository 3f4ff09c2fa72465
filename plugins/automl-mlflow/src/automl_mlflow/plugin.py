"""The tracker `mlflow`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Tracker, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_mlflow.settings import MLflowConfig

    return MLflowConfig


def build_tracker(context: Context) -> Tracker:
    from automl_mlflow.settings import MLflowConfig
    from automl_mlflow.tracker import MLflowTracker

    config = context.settings(MLflowConfig)
    tracker = MLflowTracker(config, directory=context.directory)
    if config.required:
        tracker.connection.check()
    return tracker


@hookimpl
def automl_trackers() -> Iterable[Provider[Tracker]]:
    yield Provider("mlflow", build_tracker, "Record studies and keep model versions in MLflow.", _settings)
