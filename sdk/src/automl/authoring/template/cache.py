"""A cache in a dictionary."""

from __future__ import annotations

import time
from threading import Lock

from pydantic import Field

from automl_core import Cache, PluginSettings

__all__ = ["DictCache", "DictCacheSettings"]


class DictCacheSettings(PluginSettings):
    entries: int = Field(default=10_000, gt=0, description="Values that are kept at most.")


class DictCache(Cache):
    """Keeps the values that were set last."""

    def __init__(self, *, entries: int = 10_000) -> None:
        self._limit, self._lock = entries, Lock()
        self._entries: dict[str, tuple[bytes, float]] = {}  # value, and when its time is over

    def get(self, key: str) -> bytes | None:
        with self._lock:
            value, ends = self._entries.get(key, (None, 0.0))
        return value if time.monotonic() < ends else None

    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        ends = float("inf") if ttl is None else time.monotonic() + ttl
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (value, ends)
            if len(self._entries) > self._limit:
                del self._entries[next(iter(self._entries))]  # the oldest: a dictionary keeps the order of insertion

    def delete(self, key: str) -> None:
        with self._lock:
            self._entries.pop(key, None)
