"""Search `optuna`: configurations by Optuna's samplers, learners by expected cost of improvement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Search, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_optuna.settings import OptunaSettings

    return OptunaSettings


def build_search(context: Context) -> Search:
    from automl_optuna.samplers import check_sampler
    from automl_optuna.search import OptunaSearch
    from automl_optuna.settings import OptunaSettings

    settings = context.settings(OptunaSettings)
    check_sampler(settings.sampler)
    return OptunaSearch(settings.sampler, startup=settings.startup)


@hookimpl
def automl_searches() -> Iterable[Provider[Search]]:
    yield Provider("optuna", build_search, "Propose configurations by TPE or another of Optuna's samplers.", _settings)
