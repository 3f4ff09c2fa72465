"""The versions of a model behind an alias of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_core import DataError, Registry

if TYPE_CHECKING:
    from automl.model import Model

__all__ = ["find_champion", "load_version"]


def find_champion(registry: Registry, name: str, alias: str) -> tuple[str, Model]:
    """Return the version that an alias points at, and its model.

    Raises:
        DataError: there is no such model or alias.
    """
    version = registry.aliases(name).get(alias)
    if version is None:
        raise DataError(f"the registry has no {alias!r} of a model {name!r}: register one and set the alias.")
    return version, load_version(registry, name, version)


def load_version(registry: Registry, name: str, version: str) -> Model:
    """Return the model of a version or alias.

    Raises:
        DataError: there is no such version, or its file is damaged.
    """
    from automl.artifact import load_model

    try:
        return load_model(registry.resolve(name, version))
    except KeyError as error:
        raise DataError(f"the registry has no version {version!r} of the model {name!r}.") from error
