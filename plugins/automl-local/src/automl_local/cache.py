"""A cache in memory: least recently used goes first, and nothing outlives its time."""

from __future__ import annotations

import math
from collections import OrderedDict
from threading import Lock
from time import monotonic

from automl_core import Cache

__all__ = ["OVERHEAD", "MemoryCache"]

OVERHEAD = 250  # bytes beside key and value: two object headers, a tuple, a float, an entry of the ordered dictionary


class MemoryCache(Cache):
    """Holds at most `max_bytes`; a value that alone is larger is not kept."""

    def __init__(self, *, max_bytes: int = 64 * 2**20) -> None:
        self.max_bytes = max_bytes
        self._used = 0
        self._lock = Lock()
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        return self._used

    def get(self, key: str) -> bytes | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            value, expires = entry
            if expires != math.inf and expires <= monotonic():
                self._forget(key)
                return None
            self._entries.move_to_end(key)
            return value

    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        expires = math.inf if ttl is None else monotonic() + ttl
        value = bytes(value)
        size = _size(key, value)
        with self._lock:
            self._forget(key)
            if size > self.max_bytes or (ttl is not None and ttl <= 0):
                return
            self._entries[key] = (value, expires)
            self._used += size
            while self._used > self.max_bytes:
                self._forget(next(iter(self._entries)))

    def delete(self, key: str) -> None:
        with self._lock:
            self._forget(key)

    def close(self) -> None:
        with self._lock:
            self._entries.clear()
            self._used = 0

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._used -= _size(key, entry[0])


def _size(key: str, value: bytes) -> int:
    return len(key.encode()) + len(value) + OVERHEAD
