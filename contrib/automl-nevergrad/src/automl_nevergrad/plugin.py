"""Search `nevergrad`: configurations by Nevergrad's optimizers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Search, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_nevergrad.settings import NevergradSettings

    return NevergradSettings


def build_search(context: Context) -> Search:
    from automl_nevergrad.search import NevergradSearch
    from automl_nevergrad.settings import NevergradSettings

    settings = context.settings(NevergradSettings)
    return NevergradSearch(settings.optimizer, budget=settings.budget)


@hookimpl
def automl_searches() -> Iterable[Provider[Search]]:
    yield Provider("nevergrad", build_search, "Propose configurations by one of Nevergrad's optimizers.", _settings)
