"""Settings: code over environment over `.env` over secret files over TOML over defaults."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from automl_core.errors import SettingsError, did_you_mean
from automl_core.sources import PLAIN_NAMES, PREFIX, RESERVED, RESERVED_PREFIXES, Source, merge, sources

__all__ = [
    "PLAIN_NAMES",
    "RESERVED",
    "RESERVED_PREFIXES",
    "PluginSettings",
    "Settings",
    "load_settings",
    "origins",
    "validate_block",
]


def _split(value: object) -> object:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


Word = Annotated[str, Field(min_length=1)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_split)]


class PluginSettings(BaseModel):
    """Base of every plugin's own settings: closed, frozen, and never echoing its input in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Settings(PluginSettings):
    """Which plugins to use, and a block of settings for each of them.

    `Settings(executor="ray")` takes the rest from the environment, `.env`, secret files and automl.toml.

    Raises:
        SettingsError: a name is unknown or a value is wrong, in the words that the user typed.
    """

    storage: Word = Field("file", description="Where journals and models are kept.")
    executor: Word = Field("threads", description="Where trials run.")
    search: Word = Field("optuna", description="Who proposes configurations after the portfolio.")
    learners: Words = Field(("lightgbm", "catboost", "xgboost", "sklearn"), description="Which families to fit.")
    trackers: Words = Field((), description="Who records studies.")
    cache: Word = Field("memory", description="Where predictions are cached.")
    server: Word = Field("starlette", description="Which server answers predictions.")
    monitors: Words = Field((), description="Who watches predictions.")
    listeners: Words = Field((), description="Plugins that are only told of events.")
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, description="A block per plugin.")
    plugins_disabled: Words = Field((), description="Plugins that may not be activated.")
    directory: Word = Field(".automl", description="Where files belong unless a setting says otherwise.")
    strict: bool = Field(False, description="Raise what a listener raises instead of logging it.")
    trace: bool = Field(False, description="Print every call of a plugin's hook with its duration.")

    def __init__(self, **values: Any) -> None:
        merged: dict[str, Any] = {}
        for source in _layers(values):
            merged = merge(merged, source.values)
        try:
            super().__init__(**merged)
        except ValidationError as error:
            raise SettingsError(_reword(error, "", tuple(type(self).model_fields))) from None


def load_settings(**values: Any) -> Settings:
    """Build Settings from all sources; the same as `Settings(**values)`.

    Raises:
        SettingsError: a name is unknown or a value is wrong, in the words that the user typed.
    """
    return Settings(**values)


def origins(settings: Settings, values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Say where each value came from: code, environment, .env, the folder of secrets, the TOML file, or default.

    Fields go by name, settings of plugins as "plugins.NAME.KEY". `values` are the keywords that `Settings` was
    called with. Reads the sources again, as they are now.
    """
    found = dict.fromkeys(type(settings).model_fields, "default")
    for source in reversed(_layers(values or {})):
        found |= dict.fromkeys(source.values, source.name)
        for plugin, block in source.values.get("plugins", {}).items():
            found |= {f"plugins.{plugin}.{key}": source.name for key in block}
    return found


def _layers(values: Mapping[str, Any]) -> list[Source]:
    return [Source("code", values), *sources(tuple(Settings.model_fields))]


_Model = TypeVar("_Model", bound=PluginSettings)


def validate_block(plugin: str, model: type[_Model], block: Mapping[str, Any]) -> _Model:
    """Validate one plugin's block.

    Text from the environment becomes what the field needs: numbers and booleans as pydantic reads them, a list from
    JSON or from words with commas between them, a table from JSON.

    Raises:
        SettingsError: names each wrong setting as in the file and as in the environment, never its value.
    """
    try:
        return model.model_validate(dict(block))
    except ValidationError as error:
        decoded = _decode(error, block)
    try:
        return model.model_validate(decoded)
    except ValidationError as error:
        raise SettingsError(_reword(error, plugin, tuple(model.model_fields))) from None


_LISTS = {"list_type", "tuple_type", "set_type", "frozen_set_type"}
_TABLES = {"dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"}


def _decode(error: ValidationError, block: Mapping[str, Any]) -> dict[str, Any]:
    """Read as lists and tables what is text where the model wants one of those."""
    decoded = dict(block)
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        key = str(problem["loc"][0]) if problem["loc"] else ""
        text = block.get(key)
        if not isinstance(text, str) or problem["type"] not in _LISTS | _TABLES:
            continue
        if text.lstrip().startswith(("[", "{")):
            try:
                decoded[key] = json.loads(text)
            except json.JSONDecodeError:
                continue  # the model's own message says what it wants there
        elif problem["type"] in _LISTS:
            decoded[key] = _split(text)
    return decoded


def _reword(error: ValidationError, plugin: str, known: tuple[str, ...]) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = [str(part) for part in problem["loc"]]
        full = ["plugins", plugin, *path] if plugin else path
        variable = PREFIX + "__".join(part.upper() for part in full)
        reason = problem["msg"]
        if problem["type"] == "extra_forbidden":
            reason = f"unknown setting.{did_you_mean(path[-1], known)}"
        lines.append(f"{'.'.join(full)} ({variable}): {reason}")
    return "\n".join(lines)
