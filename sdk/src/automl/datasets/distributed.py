"""Data larger than memory under the production guide's names."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl_core.errors import PluginError

if TYPE_CHECKING:
    from automl_dask.loader import DaskDataLoader
    from automl_dask.processor import ChunkedDataProcessor

__all__ = ["ChunkedDataProcessor", "DaskDataLoader"]

_HOMES = {"ChunkedDataProcessor": "automl_dask.processor", "DaskDataLoader": "automl_dask.loader"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name != "automl_dask":
            raise
        raise PluginError(
            f"{name} comes with a plugin that is not installed: pip install 'automl-sdk[dask]'"
        ) from error
