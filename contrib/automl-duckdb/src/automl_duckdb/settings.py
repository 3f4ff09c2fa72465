"""The settings of storage `duckdb`."""

from __future__ import annotations

from pydantic import Field

from automl_core import PluginSettings

__all__ = ["DuckDBSettings"]


class DuckDBSettings(PluginSettings):
    path: str = Field("", description="The database file; automl.duckdb in the engine's directory if empty.")
    memory: str = Field("", pattern=r"^(\d+(\.\d+)? ?([KMGT]i?)?B)?$", description="A limit such as 2GB while reading.")
