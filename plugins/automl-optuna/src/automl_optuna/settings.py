"""The settings of search `optuna`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from automl_core.settings import PluginSettings

__all__ = ["OptunaSettings"]


class OptunaSettings(PluginSettings):
    sampler: Literal["tpe", "random", "cmaes", "gp"] = Field(
        "tpe", description="Who proposes: tpe, random, cmaes (needs cmaes), gp (needs torch and scipy)."
    )
    startup: int = Field(
        10, ge=1, description="Results of a learner, those of the portfolio included, before its model proposes."
    )
