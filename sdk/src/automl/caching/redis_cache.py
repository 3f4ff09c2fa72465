"""Caches in Redis under the production guide's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl.plugged import plugged

if TYPE_CHECKING:
    from automl_redis.cache import RedisCache
    from automl_redis.predictions import PredictionCache

__all__ = ["PredictionCache", "RedisCache"]

__getattr__ = plugged(__name__, {"PredictionCache": "automl_redis.predictions", "RedisCache": "automl_redis.cache"})
