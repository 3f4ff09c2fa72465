"""Settings of LightGBM."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from automl_core import PluginSettings

__all__ = ["LightGBMSettings"]


class LightGBMSettings(PluginSettings):
    """`plugins.lightgbm`."""

    device: Literal["cpu", "gpu", "cuda"] = Field(
        "cpu", description="Where trees are grown; gpu and cuda need a build for it."
    )
