"""MLflow under the production guide's names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl_core.errors import PluginError

if TYPE_CHECKING:
    from automl_mlflow.settings import MLflowConfig
    from automl_mlflow.tracker import MLflowTracker

__all__ = ["MLflowConfig", "MLflowTracker"]

_HOMES = {"MLflowConfig": "automl_mlflow.settings", "MLflowTracker": "automl_mlflow.tracker"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "automl_mlflow":
            raise
        raise PluginError(
            f"{name} comes with a plugin that is not installed: pip install 'automl-sdk[mlflow]'"
        ) from error
