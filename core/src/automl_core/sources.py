"""Where settings come from: the environment, `.env`, secret files, TOML. Each source names itself in its errors."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl_core.errors import SettingsError, did_you_mean

__all__ = ["PLAIN_NAMES", "PREFIX", "RESERVED", "RESERVED_PREFIXES", "Source", "merge", "sources"]

PREFIX = "AUTOML_"
BLOCKS = PREFIX + "PLUGINS__"
DEFAULT_FILE = "automl.toml"
DEFAULT_SECRETS = "/run/secrets"

# Names that other tools and the production guide use, and the plugin setting that each stands for.
PLAIN_NAMES: Mapping[str, tuple[str, str]] = {
    "MLFLOW_TRACKING_URI": ("mlflow", "tracking_uri"),
    "REDIS_HOST": ("redis", "host"),
    "REDIS_PORT": ("redis", "port"),
    "REDIS_PASSWORD": ("redis", "password"),
}

# AUTOML_ variables that are read elsewhere and are no fields of Settings.
RESERVED = frozenset(
    {"AUTOML_CONFIG", "AUTOML_SECRETS_DIR", "AUTOML_MODEL_URI", "AUTOML_HOST", "AUTOML_PORT", "AUTOML_WORKERS"}
)
RESERVED_PREFIXES = ("AUTOML_SERVER_", "AUTOML_DOCTOR_")


@dataclass(frozen=True, slots=True)
class Source:
    """Settings from one place: field by name, blocks of plugins under "plugins"."""

    name: str
    values: Mapping[str, Any] = field(repr=False)


def sources(known: Collection[str]) -> list[Source]:
    """Read every source, the strongest first; `known` are the fields of Settings.

    Raises:
        SettingsError: a source cannot be read, or has a name that is no setting.
    """
    file = _config_file()
    read = [
        Source("environment", _nest(os.environ, "the environment", known)),
        Source(".env", _nest(_dotenv(), ".env", known)),
    ]
    if folder := _secrets_folder():
        read.append(Source(str(folder), _nest(_secrets(folder), str(folder), known)))
    read.append(Source(str(file), _toml(file, known)))
    return read


def merge(strong: Mapping[str, Any], weak: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `strong` over `weak`, tables within tables."""
    merged = {**weak, **strong}
    for key in strong.keys() & weak.keys():
        if isinstance(strong[key], Mapping) and isinstance(weak[key], Mapping):
            merged[key] = merge(strong[key], weak[key])
    return merged


def _nest(variables: Mapping[str, str], place: str, known: Collection[str]) -> dict[str, Any]:
    """Turn variables into nested values; all stay text, so that a password of digits survives."""
    nested: dict[str, Any] = {}
    plain = {name: PLAIN_NAMES[name.upper()] for name in variables if name.upper() in PLAIN_NAMES and variables[name]}
    for name, (plugin, key) in plain.items():
        nested.setdefault("plugins", {}).setdefault(plugin, {})[key] = variables[name]
    for name in sorted(variables):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in RESERVED or upper.startswith(RESERVED_PREFIXES):
            continue
        path = upper.removeprefix(PREFIX).lower().split("__")
        if len(path) > 2 and path[0] == "plugins" and all(path):
            _set(nested, path, variables[name], name, place)
        elif len(path) == 1 and path[0] in known and path[0] != "plugins":
            nested[path[0]] = variables[name]
        else:
            raise SettingsError(f"unknown setting {name} in {place}.{_meant(upper, known)}")
    return nested


def _meant(variable: str, known: Collection[str]) -> str:
    if variable.startswith(PREFIX + "PLUGINS"):
        return f" A plugin's setting is written {BLOCKS}NAME__KEY."
    names = {PREFIX + name.upper() for name in known if name != "plugins"}
    return did_you_mean(variable, names | RESERVED)


def _set(nested: dict[str, Any], path: list[str], value: str, name: str, place: str) -> None:
    for key in path[:-1]:
        nested = nested.setdefault(key, {})
        if not isinstance(nested, dict):
            raise SettingsError(f"{name} in {place} contradicts another variable that gives {key.upper()} as a whole.")
    if isinstance(nested.get(path[-1]), dict):
        raise SettingsError(f"{name} in {place} contradicts another variable that gives a part of it.")
    nested[path[-1]] = value


def _dotenv() -> dict[str, str]:
    if not Path(".env").is_file():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(".env").items() if value is not None}


def _secrets_folder() -> Path | None:
    """Return the folder with one secret per file, named as the variable that it stands for."""
    named = os.environ.get("AUTOML_SECRETS_DIR")
    folder = Path(named or DEFAULT_SECRETS)
    if folder.is_dir():
        return folder
    if named:
        raise SettingsError(f"AUTOML_SECRETS_DIR names {named!r}, which is no folder.")
    return None


def _secrets(folder: Path) -> dict[str, str]:
    ours = {path.name: path for path in _files(folder) if path.name.upper().startswith((PREFIX, *PLAIN_NAMES))}
    try:
        return {name: path.read_text(encoding="utf-8").strip() for name, path in ours.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"a secret in {folder} cannot be read: {type(error).__name__}.") from error


def _files(folder: Path) -> Iterator[Path]:
    # Kubernetes mounts each secret as a link; is_file follows it.
    return (path for path in sorted(folder.iterdir()) if path.is_file())


def _config_file() -> Path:
    named = os.environ.get("AUTOML_CONFIG")
    if named and not Path(named).is_file():
        raise SettingsError(f"AUTOML_CONFIG names {named!r}, which does not exist.")
    return Path(named or DEFAULT_FILE)


def _toml(path: Path, known: Collection[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no valid TOML: {error}") from error
    for name in values:
        if name not in known:
            raise SettingsError(f"unknown setting {name!r} in {path}.{did_you_mean(name, known)}")
    return values
