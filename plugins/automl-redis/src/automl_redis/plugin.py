"""The cache `redis`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Cache, Context, Provider, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_redis.settings import RedisSettings

    return RedisSettings


def build_cache(context: Context) -> Cache:
    from automl_redis.cache import RedisCache
    from automl_redis.settings import RedisSettings

    settings = context.settings(RedisSettings)
    values = {name: getattr(settings, name) for name in RedisSettings.model_fields}
    password = settings.password
    values["password"] = password.get_secret_value() if password is not None else None
    return RedisCache(**values)


@hookimpl
def automl_caches() -> Iterable[Provider[Cache]]:
    yield Provider("redis", build_cache, "Share predictions through Redis.", _settings)
