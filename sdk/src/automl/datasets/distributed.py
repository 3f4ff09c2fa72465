"""Data larger than memory under the production guide's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.plugged import plugged

if TYPE_CHECKING:
    from automl_dask.loader import DaskDataLoader
    from automl_dask.processor import ChunkedDataProcessor

__all__ = ["ChunkedDataProcessor", "DaskDataLoader"]

__getattr__ = plugged(
    __name__, {"ChunkedDataProcessor": "automl_dask.processor", "DaskDataLoader": "automl_dask.loader"}
)
