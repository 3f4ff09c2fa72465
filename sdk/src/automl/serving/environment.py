"""What to serve and how, from environment variables alone: for containers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from automl.service.options import ServiceOptions
from automl_core import SettingsError, did_you_mean

if TYPE_CHECKING:
    from automl_core import Settings

__all__ = ["Asked", "read_challengers", "read_environment", "read_options", "with_services"]

PREFIX = "AUTOML_SERVER_"
MODEL_ID, CHALLENGERS = PREFIX + "MODEL_ID", PREFIX + "CHALLENGERS"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the environment asks for; None where it says nothing, and the server's own settings hold."""

    model: str
    model_id: str
    challengers: dict[str, float]
    host: str | None
    port: int | None
    workers: int | None
    options: ServiceOptions
    settings: Settings


def read_environment() -> Asked:
    """Read `AUTOML_MODEL_URI`, `AUTOML_HOST`, `AUTOML_PORT`, `AUTOML_WORKERS`, `AUTOML_SERVER_*`, and the settings.

    Raises:
        SettingsError: no model is named, or a variable is unknown or wrong.
    """
    from automl_core.settings import load_settings

    model = os.environ.get("AUTOML_MODEL_URI")
    if not model:
        raise SettingsError("AUTOML_MODEL_URI names no model: set it to a path, a URI, or models:/NAME@ALIAS.")
    return Asked(
        model,
        os.environ.get(MODEL_ID, ""),
        read_challengers(os.environ.get(CHALLENGERS, "").split(",")),
        os.environ.get("AUTOML_HOST") or None,
        _number("AUTOML_PORT"),
        _number("AUTOML_WORKERS"),
        read_options(os.environ),
        with_services(load_settings()),
    )


def read_options(variables: Mapping[str, str]) -> ServiceOptions:
    """Read the service's options from `AUTOML_SERVER_MAX_ROWS` and so on.

    Raises:
        SettingsError: a variable is unknown, or its value is wrong.
    """
    known = {f"{PREFIX}{item.name.upper()}": item for item in fields(ServiceOptions)}
    values: dict[str, Any] = {}
    for name, text in variables.items():
        if not name.startswith(PREFIX) or name in (MODEL_ID, CHALLENGERS):
            continue
        if name not in known:
            raise SettingsError(
                f"unknown setting {name} in the environment.{did_you_mean(name, [*known, MODEL_ID, CHALLENGERS])}"
            )
        kind = {"int": int, "float": float}.get(str(known[name].type), str)
        try:
            values[known[name].name] = kind(text)
        except ValueError:
            raise SettingsError(f"{name} must be a number.") from None
    return ServiceOptions(**values)


def read_challengers(texts: Iterable[str]) -> dict[str, float]:
    """Read `MODEL=SHARE`, where the model is a path or URI; empty texts are skipped.

    Raises:
        SettingsError: a text has no share.
    """
    challengers: dict[str, float] = {}
    for text in filter(None, map(str.strip, texts)):
        place, _, share = text.rpartition("=")
        try:
            challengers[place] = float(share)
        except ValueError:
            place = ""
        if not place:
            raise SettingsError(f"the challenger {text!r} needs a share of the requests: MODEL=0.1, or MODEL=0.")
    return challengers


def with_services(settings: Settings) -> Settings:
    """Use the cache that the plain variable `REDIS_HOST` names."""
    if settings.cache == "memory" and settings.plugins.get("redis", {}).get("host"):
        return settings.model_copy(update={"cache": "redis"})
    return settings


def _number(name: str) -> int | None:
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdigit():
        raise SettingsError(f"{name} must be a whole number.")
    return int(text)
