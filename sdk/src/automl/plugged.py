"""Names of plugins under the production guide's paths: imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from automl_core.errors import PluginError

__all__ = ["plugged"]


def plugged(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module whose names live in plugins.

    Args:
        homes: the module of each name, in a package `automl_<extra>`.

    Raises:
        PluginError: at access, where the plugin is not installed.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        package = homes[name].partition(".")[0]
        try:
            return getattr(import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != package:
                raise
            extra = package.removeprefix("automl_")
            raise PluginError(
                f"{name} comes with a plugin that is not installed: pip install 'automl-sdk[{extra}]'"
            ) from error

    return get
