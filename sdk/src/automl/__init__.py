"""Find the best model for a table of data, and predict with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.engine import AutoML
    from automl.estimators import AutoMLClassifier, AutoMLRegressor
    from automl.model import Model
    from automl.several.file import load_model
    from automl.several.model import MultiModel

__version__ = "0.1.0"

__all__ = ["AutoML", "AutoMLClassifier", "AutoMLRegressor", "Model", "MultiModel", "load_model"]

_HOMES = {
    "AutoML": "automl.engine",
    "AutoMLClassifier": "automl.estimators",
    "AutoMLRegressor": "automl.estimators",
    "Model": "automl.model",
    "MultiModel": "automl.several.model",
    "load_model": "automl.several.file",
}


def __getattr__(name: str) -> Any:
    # numpy costs more to import than everything else here: only what is used is loaded.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
