"""The search on Ray Tune under the production guide's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.plugged import plugged

if TYPE_CHECKING:
    from automl_ray.optimizer import RayTuneOptimizer
    from automl_ray.settings import RayTuneSettings

__all__ = ["RayTuneOptimizer", "RayTuneSettings"]

__getattr__ = plugged(__name__, {"RayTuneOptimizer": "automl_ray.optimizer", "RayTuneSettings": "automl_ray.settings"})
