"""The compiled kernel; None where there was no compiler."""

from __future__ import annotations

from typing import Any

try:
    from automl.predictor import _kernel  # type: ignore[attr-defined,unused-ignore]
except ImportError:
    _kernel = None

__all__ = ["COMPILED", "kernel"]

kernel: Any = _kernel
COMPILED: bool = kernel is not None
