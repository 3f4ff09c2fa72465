"""Settings: code over environment over `.env` over secret files over TOML over defaults."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from automl_core.errors import SettingsError, did_you_mean

__all__ = ["PLAIN_NAMES", "PluginSettings", "Settings", "load_settings", "origins", "validate_block"]

PREFIX = "AUTOML_"
DEFAULT_FILE = "automl.toml"

# Names that other tools and the production guide use, and the plugin setting that each stands for.
PLAIN_NAMES: Mapping[str, tuple[str, str]] = {
    "MLFLOW_TRACKING_URI": ("mlflow", "tracking_uri"),
    "REDIS_HOST": ("redis", "host"),
    "REDIS_PORT": ("redis", "port"),
    "REDIS_PASSWORD": ("redis", "password"),
}

# AUTOML_ variables that are read elsewhere and are no fields of Settings.
RESERVED = frozenset({"AUTOML_CONFIG", "AUTOML_TRACE", "AUTOML_MODEL_URI"})

Words = Annotated[tuple[str, ...], NoDecode]


class PluginSettings(BaseModel):
    """Base of every plugin's own settings: closed, frozen, and never echoing its input in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Settings(BaseSettings):
    """Which plugins to use, and a block of settings for each of them."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    storage: str = Field("file", description="Where journals and models are kept.")
    executor: str = Field("threads", description="Where trials run.")
    search: str = Field("optuna", description="Who proposes configurations after the portfolio.")
    learners: Words = Field(("lightgbm", "catboost", "xgboost", "sklearn"), description="Which families to fit.")
    trackers: Words = Field((), description="Who records studies.")
    cache: str = Field("memory", description="Where predictions are cached.")
    server: str = Field("starlette", description="Which server answers predictions.")
    monitors: Words = Field((), description="Who watches predictions.")
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False, description="A block per plugin.")
    plugins_disabled: Words = Field((), description="Plugins that may not be activated.")
    directory: str = Field(".automl", description="Where files belong unless a setting says otherwise.")
    strict: bool = Field(False, description="Raise what a listener raises instead of logging it.")

    @field_validator("learners", "trackers", "monitors", "plugins_disabled", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, toml_file=config_file())
        plain = PlainNames(settings_cls)
        return init_settings, env_settings, plain, _OnlyOurs(dotenv_settings), file_secret_settings, toml


class PlainNames(PydanticBaseSettingsSource):
    """Reads the plain names (`REDIS_HOST`) into the blocks of the plugins they belong to."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        raise NotImplementedError("this source answers as a whole")

    def __call__(self) -> dict[str, Any]:
        blocks: dict[str, dict[str, Any]] = {}
        for name, (plugin, key) in PLAIN_NAMES.items():
            if os.environ.get(name):
                blocks.setdefault(plugin, {})[key] = os.environ[name]
        return {"plugins": blocks} if blocks else {}


class _OnlyOurs(PydanticBaseSettingsSource):
    """A `.env` file is shared with other programs: only its AUTOML_ names are ours."""

    def __init__(self, inner: PydanticBaseSettingsSource) -> None:
        super().__init__(inner.settings_cls)
        self._inner = inner

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        values = self._inner()
        return {key: value for key, value in values.items() if key in self.settings_cls.model_fields}


def config_file() -> Path:
    return Path(os.environ.get("AUTOML_CONFIG", DEFAULT_FILE))


def load_settings(**values: Any) -> Settings:
    """Build Settings from all sources.

    Raises:
        SettingsError: a name is unknown or a value is wrong, in the words that the user typed.
    """
    _check_environment()
    _check_file()
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingsError(f"unknown setting {unknown[0]!r}.{did_you_mean(unknown[0], Settings.model_fields)}")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_reword(error, "")) from None


def origins(settings: Settings, values: Mapping[str, Any]) -> dict[str, str]:
    """Say for each field where its value came from: code, environment, .env, the TOML file, or default.

    `values` are the keywords that `load_settings` was called with.
    """
    from dotenv import dotenv_values

    dotenv = {name.upper() for name in dotenv_values(".env")}
    path = config_file()
    toml = set(tomllib.loads(path.read_text(encoding="utf-8"))) if path.is_file() else set()
    found: dict[str, str] = {}
    for name in type(settings).model_fields:
        variable = PREFIX + name.upper()
        if name in values:
            found[name] = "code"
        elif any(key.upper() == variable or key.upper().startswith(variable + "__") for key in os.environ):
            found[name] = "environment"
        elif any(key == variable or key.startswith(variable + "__") for key in dotenv):
            found[name] = ".env"
        elif name in toml:
            found[name] = str(path)
        else:
            found[name] = "default"
    return found


_Model = TypeVar("_Model", bound=PluginSettings)


def validate_block(plugin: str, model: type[_Model], block: Mapping[str, Any]) -> _Model:
    """Validate one plugin's block.

    Raises:
        SettingsError: names each wrong setting as in the file and as in the environment, never its value.
    """
    try:
        return model.model_validate(dict(block))
    except ValidationError as error:
        raise SettingsError(_reword(error, plugin, tuple(model.model_fields))) from None


def _check_environment() -> None:
    """A mistyped AUTOML_ variable is an error: pydantic-settings would ignore it, even with extra="forbid"."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | RESERVED
    for variable in sorted(os.environ):
        upper = variable.upper()
        if not upper.startswith(PREFIX) or upper in known or upper.startswith(PREFIX + "PLUGINS__"):
            continue
        raise SettingsError(f"unknown setting {variable} in the environment.{did_you_mean(upper, known)}")


def _check_file() -> None:
    path = config_file()
    if not path.is_file():
        if "AUTOML_CONFIG" in os.environ:
            raise SettingsError(f"AUTOML_CONFIG names {str(path)!r}, which does not exist.")
        return
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no valid TOML: {error}") from error
    for name in names:
        if name not in Settings.model_fields:
            raise SettingsError(f"unknown setting {name!r} in {path}.{did_you_mean(name, Settings.model_fields)}")


def _reword(error: ValidationError, plugin: str, known: tuple[str, ...] = ()) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = [str(part) for part in problem["loc"]]
        full = ["plugins", plugin, *path] if plugin else path
        variable = PREFIX + "__".join(part.upper() for part in full)
        if problem["type"] == "extra_forbidden":
            reason = f"unknown setting.{did_you_mean(path[-1], known or tuple(Settings.model_fields))}"
        else:
            reason = problem["msg"]
        lines.append(f"{'.'.join(full)} ({variable}): {reason}")
    return "\n".join(lines)
