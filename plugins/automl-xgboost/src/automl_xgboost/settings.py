"""Settings of XGBoost."""

from __future__ import annotations

from pydantic import Field

from automl_core import PluginSettings, SettingsError

__all__ = ["XGBoostSettings", "check_device"]


class XGBoostSettings(PluginSettings):
    """`plugins.xgboost`."""

    device: str = Field(
        "cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Where trees are grown: cpu, cuda or cuda:1; cuda needs the distribution xgboost.",
    )


def check_device(device: str) -> None:
    """Raise SettingsError for a device that this XGBoost was not built for; it would fall back to cpu in silence."""
    import xgboost

    if device != "cpu" and not xgboost.build_info().get("USE_CUDA"):
        raise SettingsError(
            f"plugins.xgboost.device (AUTOML_PLUGINS__XGBOOST__DEVICE): this XGBoost has no CUDA, asked for {device}; "
            "install xgboost instead of xgboost-cpu, or set it to cpu"
        )
