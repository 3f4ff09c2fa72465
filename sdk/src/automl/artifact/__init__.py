"""Models as files: one file, checked on the way in, that runs no code from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.artifact.load import load_model, read_manifest
    from automl.artifact.save import save_model

__all__ = ["load_model", "read_manifest", "save_model"]

_HOMES = {"load_model": "load", "read_manifest": "load", "save_model": "save"}


def __getattr__(name: str) -> Any:
    # Whoever loads a model unpacks its file while numpy is imported.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"automl.artifact.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
