"""What every cache must do."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from automl_core.kinds import Cache
from automl_core.powers import Batches, Lockable
from automl_core.testing.conformance import Conformance, at_once

__all__ = ["CacheConformance"]

VALUES = [b"", b"x", bytes(range(256)), b"x" * (1 << 16)]


class CacheConformance(Conformance):
    """Override the fixture `cache`, which is empty and has room for a few hundred KiB.

    Attributes:
        supports_ttl: a value is gone when its time is over. One that is kept longer would be stale: without this
            power the cache must not keep values that were set with a `ttl` at all.
    """

    supports_ttl: ClassVar[bool] = True

    @pytest.fixture
    def cache(self) -> Cache:
        raise NotImplementedError("override the fixture `cache`")

    def test_unknown_key_is_a_miss(self, cache: Cache) -> None:
        assert cache.get("nothing") is None

    @pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)}-bytes")
    def test_value_comes_back_byte_for_byte(self, cache: Cache, value: bytes) -> None:
        cache.set("key", value)
        assert cache.get("key") == value

    def test_set_replaces(self, cache: Cache) -> None:
        cache.set("key", b"old")
        cache.set("key", b"new")
        assert cache.get("key") == b"new"

    def test_delete_forgets_and_may_be_repeated(self, cache: Cache) -> None:
        cache.set("key", b"x")
        cache.delete("key")
        cache.delete("key")
        assert cache.get("key") is None

    @pytest.mark.parametrize("key", ["a b", "größe:数据", "x" * 512, "a/../b", "line\nbreak", "{hash}"])
    def test_odd_key_works(self, cache: Cache, key: str) -> None:
        cache.set(key, b"x")
        assert cache.get(key) == b"x"
        assert cache.get(key[:-1]) is None

    def test_value_is_gone_when_its_time_is_over(self, cache: Cache) -> None:
        cache.set("key", b"x", ttl=0.2)
        if self.supports_ttl:
            assert cache.get("key") == b"x"
        time.sleep(0.4)
        assert cache.get("key") is None

    def test_new_value_takes_a_new_time(self, cache: Cache) -> None:
        cache.set("key", b"x", ttl=0.2)
        cache.set("key", b"y")
        time.sleep(0.4)
        assert cache.get("key") == b"y"

    def test_threads_never_read_a_foreign_value(self, cache: Cache) -> None:
        def work(me: int) -> bool:
            for turn in range(50):
                key = f"{turn % 5}"
                cache.set(key, key.encode() * 100)
                if cache.get(key) not in (None, key.encode() * 100):
                    return False
            return me >= 0

        assert all(at_once(8, work))

    def test_batches_agree_with_single_keys(self, cache: Cache) -> None:
        if not isinstance(cache, Batches):
            pytest.skip("this cache takes one key at a time")
        cache.set_many({"a": b"1", "b": b"2"})
        cache.set("c", b"3")
        assert cache.get_many(["c", "nothing", "a", "b", "a"]) == [b"3", None, b"1", b"2", b"1"]
        assert cache.get("a") == b"1"
        assert cache.get_many([]) == []

    def test_batch_is_gone_when_its_time_is_over(self, cache: Cache) -> None:
        if not isinstance(cache, Batches):
            pytest.skip("this cache takes one key at a time")
        cache.set_many({"a": b"1"}, ttl=0.2)
        time.sleep(0.4)
        assert cache.get_many(["a"]) == [None]

    def test_one_holder_has_the_lock(self, cache: Cache) -> None:
        if not isinstance(cache, Lockable):
            pytest.skip("this cache gives no locks")
        with cache.lock("key", ttl=30) as mine:
            with cache.lock("key", ttl=30) as theirs:
                assert (mine, theirs) == (True, False)
            with cache.lock("other", ttl=30) as other:
                assert other
        with cache.lock("key", ttl=30) as again:
            assert again

    def test_lock_ends_with_its_time(self, cache: Cache) -> None:
        if not isinstance(cache, Lockable):
            pytest.skip("this cache gives no locks")
        with cache.lock("key", ttl=0.2):
            time.sleep(0.4)
            with cache.lock("key", ttl=30) as later:
                assert later

    def test_late_holder_does_not_break_a_newer_lock(self, cache: Cache) -> None:
        if not isinstance(cache, Lockable):
            pytest.skip("this cache gives no locks")
        late, newer = cache.lock("key", ttl=0.2), cache.lock("key", ttl=30)
        late.__enter__()
        time.sleep(0.4)
        with newer:
            late.__exit__(None, None, None)
            with cache.lock("key", ttl=30) as third:
                assert not third

    def test_close_may_be_called_twice(self, cache: Cache) -> None:
        with cache as entered:
            assert entered is cache
        cache.close()
