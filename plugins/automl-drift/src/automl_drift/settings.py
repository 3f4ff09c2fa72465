"""The settings of the monitor."""

from __future__ import annotations

from pydantic import Field

from automl_core.settings import PluginSettings

__all__ = ["DriftSettings"]


class DriftSettings(PluginSettings):
    run_length: int = Field(1_000_000, ge=1, description="Rows between false alarms, on average at least.")
    window: int = Field(10_000, ge=100, description="Rows that are compared with the frozen reference as a whole.")
    block: int = Field(100, ge=1, description="Rows that are collected before the evidence is looked at.")
    tolerance: float = Field(0.04, ge=0, lt=1, description="The smallest change that matters; .04 is .1 deviations.")
    score_tolerance: float = Field(0.05, ge=0, description="How much worse than on held-out rows a score may be.")
    score_run_length: int = Field(100_000, ge=1, description="Labels between false alarms, on average at least.")
    interval: float = Field(1.0, gt=0, description="Seconds between two looks at what came in.")
    repeat: float = Field(3600.0, ge=0, description="Seconds until an alert is told again, while its cause lasts.")
    queue: int = Field(10_000, ge=1, description="Events that may wait; further ones are dropped and counted.")
    directory: str = Field("", description="Where workers of one server put their counts together; empty for one.")
