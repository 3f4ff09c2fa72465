"""Storage `duckdb`: journals and blobs in one file, and data sets read by DuckDB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Storage, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_duckdb.settings import DuckDBSettings

    return DuckDBSettings


def build_storage(context: Context) -> Storage:
    from pathlib import Path

    from automl_duckdb.settings import DuckDBSettings
    from automl_duckdb.storage import DuckDBStorage

    settings = context.settings(DuckDBSettings)
    path = settings.path or Path(context.directory) / "automl.duckdb"
    return DuckDBStorage(path, threads=context.threads, memory=settings.memory)


@hookimpl
def automl_storages() -> Iterable[Provider[Storage]]:
    yield Provider("duckdb", build_storage, "Keep journals and blobs in one DuckDB file of one process.", _settings)
