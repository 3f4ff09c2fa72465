"""Where a model came from: what fits it again, and what that took. Plain data, kept with the model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.memory import peak_memory

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["describe_origin"]


def describe_origin(
    data: Any, arguments: Mapping[str, Any], plugins: Plugins, *, key: str, weighted: bool
) -> dict[str, Any]:
    """Return the data's name, the arguments that were given, versions of active plugins, and the most memory in bytes.

    Of a path or URI only the last part is kept: a folder may name people, and a URI hold a password or a signature.
    """
    settings = plugins.settings
    return {
        "data": _name(data),
        "key": key,
        "arguments": {name: _plain(value) for name, value in arguments.items() if value is not None},
        "executor": settings.executor,
        "learners": list(settings.learners),
        "search": settings.search,
        "versions": {i.distribution: i.version for i in plugins.infos() if i.status == "active"},
        "processors": os.cpu_count(),
        "memory": peak_memory(),
        "weighted": weighted,
    }


def _name(data: Any) -> str | None:
    if not isinstance(data, str | os.PathLike):
        return None
    return Path(os.fspath(data).partition("?")[0]).name or None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | bool) else getattr(value, "__name__", type(value).__name__)
