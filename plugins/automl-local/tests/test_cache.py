from __future__ import annotations

import pytest

from automl_local.cache import OVERHEAD, MemoryCache


def test_least_recently_used_goes_first() -> None:
    cache = MemoryCache(max_bytes=3 * (OVERHEAD + 11))
    for key in "abc":
        cache.set(key, b"x" * 10)
    assert cache.get("a") == b"x" * 10
    cache.set("d", b"x" * 10)
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_bytes_are_bounded_and_counted() -> None:
    cache = MemoryCache(max_bytes=100_000)
    for number in range(10_000):
        cache.set(f"{number % 700}", b"x" * (number % 3000))
        assert cache.used_bytes <= 100_000
    for number in range(700):
        cache.delete(f"{number}")
    assert cache.used_bytes == 0


def test_value_larger_than_the_cache_is_not_kept_and_replaces_the_old_one() -> None:
    cache = MemoryCache(max_bytes=1000)
    cache.set("other", b"x")
    cache.set("key", b"old")
    cache.set("key", b"x" * 1000)
    assert cache.get("key") is None
    assert cache.get("other") == b"x"


@pytest.mark.parametrize("ttl", [0, -1.0])
def test_no_time_to_live_forgets(ttl: float) -> None:
    cache = MemoryCache()
    cache.set("key", b"old")
    cache.set("key", b"new", ttl=ttl)
    assert cache.get("key") is None
    assert cache.used_bytes == 0


def test_value_is_not_the_callers_buffer() -> None:
    cache = MemoryCache()
    buffer = bytearray(b"abc")
    cache.set("key", buffer)  # type: ignore[arg-type]
    buffer[0] = 0
    assert cache.get("key") == b"abc"
