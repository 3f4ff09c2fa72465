"""Models from files under the production guide's name."""

from __future__ import annotations

from automl.artifact import load_model, save_model

__all__ = ["load_model", "save_model"]
