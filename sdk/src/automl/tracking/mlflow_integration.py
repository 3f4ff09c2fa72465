"""MLflow under the production guide's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.plugged import plugged

if TYPE_CHECKING:
    from automl_mlflow.settings import MLflowConfig
    from automl_mlflow.tracker import MLflowTracker

__all__ = ["MLflowConfig", "MLflowTracker"]

__getattr__ = plugged(__name__, {"MLflowConfig": "automl_mlflow.settings", "MLflowTracker": "automl_mlflow.tracker"})
