"""What `mlflow.pyfunc` loads a model with: MLflow finds this module by the name in the model's folder.

Knows nothing of MLflow, so that who serves such a model needs no plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.artifact import load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model

__all__ = ["PyFuncModel"]


class PyFuncModel:
    """A model as MLflow calls it."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> NDArray[Any]:
        """Return labels or numbers, shape (rows,); with the parameter `proba`, probabilities (rows, classes)."""
        if params is not None and params.get("proba"):
            return self.model.predict_proba(data)
        return self.model.predict(data)


def _load_pyfunc(path: str) -> PyFuncModel:
    return PyFuncModel(load_model(path))
