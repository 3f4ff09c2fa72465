"""The settings of search `nevergrad`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from automl_core.settings import PluginSettings

__all__ = ["NevergradSettings"]


class NevergradSettings(PluginSettings):
    optimizer: Literal["OnePlusOne", "TBPSA", "TwoPointsDE", "DE", "PSO", "RandomSearch"] = Field(
        "OnePlusOne", description="Who proposes: an evolution strategy, differential evolution, a swarm, or chance."
    )
    budget: int = Field(100, ge=1, description="Trials of a learner for which the optimizer plans; more may follow.")
