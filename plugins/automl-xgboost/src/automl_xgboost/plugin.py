"""Register XGBoost with the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Learner, Provider, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_xgboost.settings import XGBoostSettings

    return XGBoostSettings


def build(context: Context) -> Learner:
    from automl_xgboost.learner import XGBoostLearner
    from automl_xgboost.settings import XGBoostSettings, check_device

    device = context.settings(XGBoostSettings).device
    check_device(device)
    return XGBoostLearner(device=device)


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("xgboost", build, "Gradient boosted trees by XGBoost.", settings=_settings)
