"""Models by their names in a registry: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, and `runs:/RUN/PATH`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from automl_core import DataError, Fetches, Plugins, Registry, SettingsError

if TYPE_CHECKING:
    from automl_core import Settings

__all__ = ["find_registry", "is_registered", "locate", "locator"]

MODELS, RUNS = "models:/", "runs:/"


def is_registered(uri: str) -> bool:
    return uri.startswith((MODELS, RUNS))


def locate(uri: str) -> str:
    """Return the local file of a registered model, with the registry that the settings name.

    Raises:
        SettingsError: they name none. DataError: there is no such model. ComponentUnavailable: nobody answers.
    """
    from automl_core.settings import load_settings

    try:
        return locator(uri, Plugins(load_settings()))()
    except KeyError as error:
        raise DataError(f"there is no model {uri}: {error.args[0]}") from error


def locator(uri: str, plugins: Plugins | None, *, instead: str = "") -> Callable[[], str]:
    """Return what finds the file behind a path, a URI, or the name of a registered model, each time anew.

    Args:
        instead: path, URI or name of what is found as long as the registry has no such model.

    Raises:
        SettingsError: the settings name no registry, or the URI is no name of a model.
    """
    if uri.startswith(RUNS):
        keeper: Fetches = _find(uri, plugins, Fetches)
        return lambda: str(keeper.fetch(uri))
    if not uri.startswith(MODELS):
        return lambda: uri
    name, separator, version = uri.removeprefix(MODELS).strip("/").partition("@" if "@" in uri else "/")
    if not (name and separator and version):
        raise SettingsError(f"{uri!r} names no version: write models:/NAME@ALIAS or models:/NAME/VERSION.")
    registry: Registry = _find(uri, plugins, Registry)
    other = locator(instead, plugins) if instead else None

    def find() -> str:
        try:
            return str(registry.resolve(name, version))
        except KeyError:
            if other is None:
                raise
            return other()

    return find


def find_registry(asking: str, plugins: Plugins) -> Registry:
    """Return the first tracker of the settings that keeps versions of models; `asking` is for the message.

    Raises:
        SettingsError: there is none.
    """
    registry: Registry = _find(asking, plugins, Registry)
    return registry


def _find(what: str, plugins: Plugins | None, power: Any) -> Any:
    for word in () if plugins is None else _trackers(plugins.settings):
        tracker = plugins.build("tracker", word) if plugins is not None else None
        if isinstance(tracker, power):
            return tracker
    raise SettingsError(f"{what} needs a registry: name a tracker that keeps models (AUTOML_TRACKERS=mlflow).")


def _trackers(settings: Settings) -> tuple[str, ...]:
    """Return the trackers that settings name; without any, MLflow where they say where it is (MLFLOW_TRACKING_URI)."""
    return settings.trackers or (("mlflow",) if settings.plugins.get("mlflow") else ())
