"""Register LightGBM with the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Learner, Provider, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_lightgbm.settings import LightGBMSettings

    return LightGBMSettings


def build(context: Context) -> Learner:
    from automl_lightgbm.learner import LightGBMLearner
    from automl_lightgbm.settings import LightGBMSettings

    return LightGBMLearner(device=context.settings(LightGBMSettings).device)


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("lightgbm", build, "Gradient boosted trees by LightGBM.", settings=_settings)
