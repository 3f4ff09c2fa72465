"""What `automl doctor` is told of Redis: of a real one, whose configuration changes."""

from __future__ import annotations

import socket

import pytest
import redis

from automl_core.diagnosis import Diagnoses
from automl_redis.cache import RedisCache


@pytest.mark.parametrize(
    ("limit", "policy", "state"),
    [("64mb", "allkeys-lru", "ok"), ("64mb", "noeviction", "warning"), ("0", "allkeys-lru", "warning")],
)
def test_memory_and_eviction_are_judged(node, limit: str, policy: str, state: str) -> None:
    with redis.Redis(port=node.port) as client:
        client.config_set("maxmemory", limit)
        client.config_set("maxmemory-policy", policy)
    with RedisCache(port=node.port) as cache:
        assert isinstance(cache, Diagnoses)
        (found,) = cache.diagnose()
    assert (found.check, found.state) == ("redis memory", state)


def test_server_that_is_down_fails() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        with RedisCache(port=probe.getsockname()[1]) as cache:
            (found,) = cache.diagnose()
    assert found.state == "failed"


def test_cluster_is_judged_node_by_node(cluster) -> None:
    with RedisCache(port=cluster[0].port, cluster=True) as cache:
        found = list(cache.diagnose())
    assert found
    assert {finding.state for finding in found} == {"warning"}  # its nodes have no limit
