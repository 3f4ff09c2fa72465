"""The settings of retraining: the block `[plugins.retrain]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from automl_core.settings import PluginSettings

__all__ = ["RetrainSettings"]

DAY = 86_400.0


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


class RetrainSettings(PluginSettings):
    name: str = Field("", description="The model in the registry; alerts about others are left out.")
    alias: str = Field("champion", description="The alias that servers follow.")
    ledger: str = Field("", description="The file in which the server keeps predictions and their truth.")
    recent: str = Field(
        "", description="In place of a ledger: a table of rows with their truth, the latest last; a path or URI."
    )
    time_column: str = Field("", description="The column of `recent` that tells when a row was predicted.")
    data: str = Field("", description="Labelled rows of earlier times to learn from too: a path or URI.")
    alerts: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        ("degradation",), description='Which alerts start a run: "degradation", "drift".'
    )
    time_limit: float = Field(600.0, gt=0, description="Seconds for all fits of a run.")
    minimum: int = Field(1000, ge=10, description="Labelled rows that are new since the last run.")
    latest: int = Field(
        100_000, ge=10, description="Requests of the ledger, or rows of `recent`, that are used at most, the latest."
    )
    holdout: float = Field(
        0.3, gt=0, lt=1, description="Share of labelled rows, the latest, that models are compared on."
    )
    level: float = Field(0.05, gt=0, lt=1, description="Chance of promoting a model that is no better, over all runs.")
    forget: float | None = Field(
        None,
        ge=0,
        description="How much worse the score of a challenger may be on held-out rows of `data`; any if empty.",
    )
    cooldown: float = Field(DAY, ge=0, description="Seconds between runs; doubled after each that was in vain.")
    longest_cooldown: float = Field(14 * DAY, ge=0, description="Where doubling ends.")
    runs: int = Field(4, ge=1, description="Runs in 30 days.")
    budget: float = Field(7200.0, gt=0, description="Seconds of all runs in 30 days.")
    canary: float = Field(
        0.0,
        ge=0,
        description="Seconds that a better challenger has the alias `challenger` only; then promoted if it still is better.",
    )
    probation: float = Field(7 * DAY, ge=0, description="Seconds in which a new champion may be rolled back.")
