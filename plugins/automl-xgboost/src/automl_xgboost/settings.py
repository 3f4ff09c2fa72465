"""Settings of XGBoost."""

from __future__ import annotations

from pydantic import Field

from automl_core import PluginSettings

__all__ = ["XGBoostSettings"]


class XGBoostSettings(PluginSettings):
    """`plugins.xgboost`."""

    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="Where trees are grown; cuda needs the distribution xgboost."
    )
