"""The settings of each plugin of this distribution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from automl_core.settings import PluginSettings

__all__ = ["FileSettings", "JournalSettings", "LogSettings", "MemorySettings", "ProcessesSettings", "WorkersSettings"]


class FileSettings(PluginSettings):
    directory: str | None = Field(None, description="Folder of journals and blobs; the engine's directory by default.")
    fsync: bool = Field(
        False, description="Wait for the disk at each append: survives a power cut, not only a killed process."
    )


class MemorySettings(PluginSettings):
    max_bytes: int = Field(
        64 * 2**20, gt=0, description="Bytes that the cache may hold, keys and bookkeeping included."
    )


class WorkersSettings(PluginSettings):
    grace: float = Field(5.0, ge=0, description="Seconds that closing waits for what still runs.")


class ProcessesSettings(WorkersSettings):
    directory: str | None = Field(
        None, description="Where shared data is mapped from; the system's folder for temporary files by default."
    )


class JournalSettings(PluginSettings):
    directory: str | None = Field(None, description="Folder of studies and models; the engine's directory by default.")


class LogSettings(PluginSettings):
    logger: str = Field("automl.events", description="Name of the logger.")
    level: Literal["DEBUG", "INFO", "WARNING"] = Field("INFO", description="Level of the lines.")
    queue: int = Field(10_000, gt=0, description="Events that may wait; further ones are dropped and counted.")
