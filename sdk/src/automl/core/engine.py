"""The engine under the production guide's name."""

from __future__ import annotations

from automl.engine import AutoML as AutoMLEngine

__all__ = ["AutoMLEngine"]
