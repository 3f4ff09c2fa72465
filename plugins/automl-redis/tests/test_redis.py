from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from automl_core import Batches, Cache, ComponentUnavailable, Context, DataError, Lockable, SettingsError
from automl_core.testing import CacheConformance, PluginConformance
from automl_redis.breaker import Breaker
from automl_redis.cache import RedisCache
from automl_redis.plugin import build_cache
from automl_redis.predictions import PredictionCache, row_key


class TestPlugin(PluginConformance):
    plugin = "redis"


class TestRedis(CacheConformance):
    @pytest.fixture
    def cache(self, node) -> Cache:
        return RedisCache(port=node.port, timeout=1.0)


class TestUnixSocket(CacheConformance):
    @pytest.fixture
    def cache(self, node) -> Cache:
        return RedisCache(unix_socket=str(node.socket), timeout=1.0)


class TestCluster(CacheConformance):
    @pytest.fixture
    def cache(self, cluster) -> Cache:
        cache = RedisCache(port=cluster[0].port, cluster=True, timeout=1.0)
        yield cache
        for node in cluster:
            with RedisCache(port=node.port, timeout=1.0) as one:
                if one._connected().role()[0] == b"master":
                    one._connected().flushall()
        cache.close()


def test_cache_has_the_powers_it_claims() -> None:
    assert isinstance(RedisCache(), Batches)
    assert isinstance(RedisCache(), Lockable)


def test_settings_reach_the_server(start_node) -> None:
    node = start_node("--requirepass", "secret")
    block = {"port": node.port, "password": "secret", "prefix": "a:", "default_ttl": "5", "timeout": 1}
    with build_cache(Context("redis", block)) as cache:
        cache.set("k", b"v")
        assert cache.get("k") == b"v"
        assert 4 < cache._connected().ttl("a:k") <= 5


def test_wrong_password_is_a_miss_and_ping_tells(start_node) -> None:
    node = start_node("--requirepass", "secret")
    cache = RedisCache(port=node.port, password="wrong")
    assert cache.get("k") is None
    with pytest.raises(ComponentUnavailable, match="does not answer") as told:
        cache.ping()
    assert "wrong" not in str(told.value).replace("WRONGPASS", "")


def test_values_go_by_tls_to_a_server_that_is_trusted(certified) -> None:
    port, authority = certified
    block = {"host": "localhost", "port": port, "tls": True, "timeout": 1, "connect_timeout": 1}
    with build_cache(Context("redis", {**block, "tls_ca": authority})) as cache:
        cache.set("k", b"v")
        assert cache.get("k") == b"v"
    with build_cache(Context("redis", block)) as stranger:  # no authority of this machine knows it
        assert stranger.get("k") is None
        with pytest.raises(ComponentUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.ping()
    with build_cache(Context("redis", {**block, "tls": False})) as plain:
        assert plain.get("k") is None


def test_wrong_setting_is_told() -> None:
    with pytest.raises(SettingsError, match="PORT"):
        build_cache(Context("redis", {"port": "many"}))


# ---- trouble


def test_killed_server_costs_nothing_and_comes_back(node) -> None:
    cache = RedisCache(port=node.port)
    cache.breaker = Breaker(first=0.1)
    cache.set("k", b"v")
    node.kill()
    started = time.perf_counter()
    assert cache.get_many([f"k{i}" for i in range(100)]) == [None] * 100
    for _ in range(1000):
        assert cache.get("k") is None
        cache.set("k", b"w")
    assert time.perf_counter() - started < 10
    assert cache.breaker.open
    node.start()
    deadline = time.monotonic() + 5
    while cache.breaker.open and time.monotonic() < deadline:
        cache.set("k", b"new")
        time.sleep(0.02)
    cache.set("k", b"new")
    assert cache.get("k") == b"new"


def test_paused_server_is_waited_for_three_times_only(node) -> None:
    cache = RedisCache(port=node.port, timeout=0.05)
    cache.set("k", b"v")
    node.pause()
    try:
        started = time.perf_counter()
        for _ in range(200):
            assert cache.get("k") is None
        waited = time.perf_counter() - started
    finally:
        node.go_on()
    assert waited < 5.0  # 200 times 50 ms would be 10 s


def test_late_answer_is_not_taken_for_the_next_key(node) -> None:
    cache = RedisCache(port=node.port, timeout=0.05)
    cache.breaker = Breaker(failures=10_000)
    cache.set("a", b"a")
    cache.set("b", b"b")
    node.pause()
    assert cache.get("a") is None
    node.go_on()
    time.sleep(0.1)
    assert {cache.get("b") for _ in range(5)} == {b"b"}


def test_full_server_keeps_answering_reads(start_node) -> None:
    node = start_node("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    cache = RedisCache(port=node.port, timeout=1.0)
    cache.breaker = Breaker(failures=10_000)
    cache.set("first", b"x")
    for number in range(40):
        cache.set_many({f"{number}-{i}": b"x" * 10_000 for i in range(10)})
    assert cache.failures > 0
    assert cache.get("first") == b"x"


def test_wrong_type_under_a_key_is_a_miss(node) -> None:
    cache = RedisCache(port=node.port, timeout=1.0)
    cache._connected().lpush("list", 1)
    assert cache.get("list") is None
    assert cache.get_many(["list", "list"]) == [None, None]


def test_cluster_without_a_node_still_answers_for_the_others(cluster) -> None:
    cache = RedisCache(port=cluster[0].port, cluster=True, timeout=0.5)
    cache.breaker = Breaker(failures=10_000)
    keys = [f"key{i}" for i in range(60)]
    cache.set_many(dict.fromkeys(keys, b"v"))
    assert cache.get_many(keys) == [b"v"] * 60
    cluster[1].pause()
    try:
        assert set(cache.get_many(keys)) == {b"v", None}
        assert [breaker.open for breaker in cache._nodes.values()].count(True) == 1
    finally:
        cluster[1].go_on()


def test_cluster_that_is_not_there_is_a_miss() -> None:
    assert RedisCache(port=1, cluster=True).get("k") is None


# ---- the breaker


def test_breaker_opens_tries_once_and_closes() -> None:
    breaker = Breaker(failures=2, first=0.05)
    breaker.fail()
    assert breaker.allow()
    breaker.fail()
    assert not breaker.allow()
    time.sleep(0.06)
    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.succeed()
    assert breaker.allow()


# ---- locks


def test_lock_has_one_holder_and_ends(node) -> None:
    cache = RedisCache(port=node.port, timeout=1.0)
    with cache.lock("x", ttl=5) as first, cache.lock("x", ttl=5) as second:
        assert (first, second) == (True, False)
    with cache.lock("x", ttl=5) as again:
        assert again


def test_lock_that_ran_out_is_not_taken_from_its_next_holder(node) -> None:
    cache = RedisCache(port=node.port, timeout=1.0)
    with cache.lock("x", ttl=0.05):
        time.sleep(0.1)
        other = cache.lock("x", ttl=5)
        assert other.__enter__()
    with cache.lock("x", ttl=1) as third:
        assert not third
    other.__exit__(None, None, None)


def test_missing_prediction_is_computed_once(node) -> None:
    calls: list[int] = []

    def compute() -> float:
        calls.append(1)
        time.sleep(0.2)
        return 0.5

    def ask() -> None:
        cache = PredictionCache(RedisCache(port=node.port, timeout=1.0))
        answers.append(cache.get_or_compute("v1", {"a": 1}, compute))

    answers: list[float] = []
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0.5] * 8
    assert len(calls) == 1


def test_prediction_is_computed_without_redis() -> None:
    cache = PredictionCache(RedisCache(port=1))
    assert cache.get_or_compute("v1", {"a": 1}, lambda: {"yes": 0.5}) == {"yes": 0.5}


def test_predictions_of_many_rows(node) -> None:
    cache = PredictionCache(RedisCache(port=node.port, timeout=1.0), ttl=60)
    rows = [{"a": i} for i in range(5)]
    cache.set_many("v1", rows[:3], ["x", 1.5, [0.1, 0.9]])
    assert cache.get_many("v1", rows) == ["x", 1.5, [0.1, 0.9], None, None]
    assert cache.get("v2", rows[0]) is None
    cache.cache.set(row_key("v1", rows[4]), b"no json")
    assert cache.get("v1", rows[4]) is None


# ---- keys


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 1, "b": "x"}, {"b": "x", "a": 1.0}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": math.nan}, {"a": -math.nan}),
        ({"a": np.float64(1.5)}, {"a": 1.5}),
        ({"a": np.int64(7)}, {"a": 7}),
        ({"a": 10**20}, {"a": 1e20}),
    ],
)
def test_same_row_has_the_same_key(left, right) -> None:
    assert row_key("m", left) == row_key("m", right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {"a": math.nan}),
        ({"a": "b", "c": "d"}, {"a": "bc", "": "d"}),
        ({"a": 2**53 + 1}, {"a": 2**53 + 2}),
        ({"a": 1}, {"b": 1}),
    ],
)
def test_other_row_has_another_key(left, right) -> None:
    assert row_key("m", left) != row_key("m", right)


def test_row_without_a_key_is_told() -> None:
    with pytest.raises(DataError, match="column 'a' holds a list"):
        row_key("m", {"a": [1]})
