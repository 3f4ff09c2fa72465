"""The search on Ray Tune under the production guide's names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl_core.errors import PluginError

if TYPE_CHECKING:
    from automl_ray.optimizer import RayTuneOptimizer
    from automl_ray.settings import RayTuneSettings

__all__ = ["RayTuneOptimizer", "RayTuneSettings"]

_HOMES = {"RayTuneOptimizer": "automl_ray.optimizer", "RayTuneSettings": "automl_ray.settings"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "automl_ray":
            raise
        raise PluginError(f"{name} comes with a plugin that is not installed: pip install 'automl-sdk[ray]'") from error
