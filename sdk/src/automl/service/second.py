"""The cache beyond this process: whether it pays, and how rows are asked for and stored there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from automl_core import Batches, Cache

if TYPE_CHECKING:
    from automl.service.served import Served

__all__ = ["SecondCache"]

WORTH = 5.0  # a prediction must cost this many lookups: a miss pays for both
PROBES = 9
log = logging.getLogger("automl.service")


class SecondCache:
    """Asks a `Cache`, and takes whatever goes wrong there for a miss."""

    def __init__(self, cache: Cache, *, policy: str, ttl: float) -> None:
        self.cache, self.policy, self.ttl = cache, policy, ttl
        self.lookup = 0.0
        self.failures = 0

    def measure(self) -> None:
        """Take the time of a lookup."""
        taken = []
        for _ in range(PROBES):
            start = perf_counter()
            self._get(["automl:probe"])
            taken.append(perf_counter() - start)
        self.lookup = median(taken)

    def pays(self, served: Served) -> bool:
        """Whether to ask it for this model."""
        if self.policy == "auto":
            return served.one > WORTH * self.lookup
        return self.policy == "always"

    def get(self, served: Served, keys: Sequence[bytes], size: int) -> list[bytes | None]:
        """Return predictions of `size` bytes each, or None."""
        found = self._get([_name(served, key) for key in keys])
        return [value if value is not None and len(value) == size else None for value in found]

    def set(self, served: Served, items: Sequence[tuple[bytes, bytes]]) -> None:
        named = {_name(served, key): value for key, value in items}
        try:
            if isinstance(self.cache, Batches):
                self.cache.set_many(named, ttl=self.ttl)
            else:
                for name, value in named.items():
                    self.cache.set(name, value, ttl=self.ttl)
        except Exception as error:  # noqa: BLE001 - a cache that is down costs a line, never a prediction
            self._failed(error)

    def _get(self, names: list[str]) -> list[bytes | None]:
        try:
            if isinstance(self.cache, Batches):
                return self.cache.get_many(names)
            return [self.cache.get(name) for name in names]
        except Exception as error:  # noqa: BLE001 - see above
            self._failed(error)
            return [None] * len(names)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if self.failures in (1, 10, 100) or self.failures % 1000 == 0:
            log.warning("the cache failed, time %d: %s: %s", self.failures, type(error).__name__, error)


def _name(served: Served, key: bytes) -> str:
    """Return a key for everybody: the model's own digest makes it safe across versions that go by the same name."""
    return f"automl:{served.name}:{served.version}:{blake2b(key, digest_size=16, key=served.token).hexdigest()}"
