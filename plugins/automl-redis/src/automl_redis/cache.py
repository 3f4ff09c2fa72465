"""The cache itself."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import MovedError, RedisClusterException
from redis.retry import Retry

from automl_core import Cache, ComponentUnavailable
from automl_core.diagnosis import FAILED, OK, WARNING, Finding
from automl_redis.breaker import Breaker

__all__ = ["RedisCache"]

T = TypeVar("T")
# Deletes a lock only for the one who holds it: redis.io, "Distributed locks".
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
# What a server in trouble answers or does; also what redis-py raises on answers that make no sense.
TROUBLE = (redis.RedisError, RedisClusterException, OSError, ValueError, IndexError)
log = logging.getLogger("automl.redis")


class RedisCache(Cache):
    """Bytes in Redis; whatever is wrong with Redis is a miss, and after three failures in a row nobody waits for it.

    Nothing connects before the first use. Connections are made anew after a fork.

    Args:
        default_ttl: seconds that values are kept unless `set` says otherwise; None keeps them until Redis evicts them.
        timeout: seconds to wait for an answer. connect_timeout: and for a connection.
        prefix: what every key begins with, where applications share a server.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        *,
        default_ttl: float | None = None,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        unix_socket: str | None = None,
        cluster: bool = False,
        tls: bool = False,
        tls_ca: str | None = None,
        timeout: float = 0.05,
        connect_timeout: float = 0.25,
        prefix: str = "",
    ) -> None:
        self.default_ttl, self.prefix, self.cluster = default_ttl, prefix, cluster
        self.address = unix_socket or f"{host}:{port}"
        self.breaker = Breaker()
        self._nodes: dict[str, Breaker] = {}
        self.failures = 0
        options: dict[str, Any] = {
            "username": username, "password": password, "socket_timeout": timeout,
            "socket_connect_timeout": connect_timeout, "retry": Retry(NoBackoff(), 0),
        }  # fmt: skip
        if unix_socket is not None:
            options["unix_socket_path"] = unix_socket
        if tls:
            options |= {"ssl": True, "ssl_ca_certs": tls_ca}
        self._client: Any = None
        if cluster:
            # A cluster's client asks for the nodes when it is made: not before the first use.
            # One retry, to follow a slot that has moved.
            options["retry"] = Retry(NoBackoff(), 1)
            self._make: Callable[[], Any] = lambda: RedisCluster(host=host, port=port, **options)
        else:
            self._make = lambda: redis.Redis(host=host, port=port, db=db, **options)
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<RedisCache at {self.address}>"

    # ---- one key

    def get(self, key: str) -> bytes | None:
        value: bytes | None = self._try(lambda client: client.get(self.prefix + key), None)
        return value

    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        if (expiry := self._expiry(ttl)) == 0:
            self.delete(key)
            return
        self._try(lambda client: client.set(self.prefix + key, value, px=expiry), None)

    def delete(self, key: str) -> None:
        self._try(lambda client: client.delete(self.prefix + key), None)

    # ---- many keys, one round trip; in a cluster one for each node

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        if not keys:
            return []
        names = [self.prefix + key for key in keys]
        misses: list[bytes | None] = [None] * len(keys)
        found = self._try(lambda client: self._read(client, names), misses)
        return list(found) if len(found) == len(keys) else misses

    def _read(self, client: Any, names: list[str]) -> list[bytes | None]:
        if not self.cluster:
            values: list[bytes | None] = client.mget(names)
            return values
        answers = self._by_node(client, names, lambda pipe, name: pipe.get(name))
        return [answer if isinstance(answer, bytes) else None for answer in answers]

    def set_many(self, items: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        expiry = self._expiry(ttl)
        if expiry == 0:
            for key in items:
                self.delete(key)
        elif items:
            self._try(lambda client: self._write(client, items, expiry), None)

    def _write(self, client: Any, items: Mapping[str, bytes], expiry: int | None) -> None:
        named = {self.prefix + key: value for key, value in items.items()}

        def put(pipe: Any, name: str) -> None:
            pipe.set(name, named[name], px=expiry)

        if self.cluster:
            self._by_node(client, list(named), put)
            return
        with client.pipeline(transaction=False) as pipe:
            for name in named:
                put(pipe, name)
            _raise_if_none_worked(pipe.execute(raise_on_error=False))

    def _by_node(self, client: Any, names: list[str], ask: Callable[[Any, str], None]) -> list[Any]:
        """Return the nodes' answers to one pipeline each; an exception stands where a node did not answer.

        redis-py's own pipeline of a cluster asks once more for every key of a silent node, one timeout after the
        other: 23 s for 60 keys. Here a silent node costs one timeout, and none while its own breaker is open.
        """
        answers: list[Any] = [None] * len(names)
        places: dict[Any, list[int]] = {}
        for at, name in enumerate(names):
            places.setdefault(client.get_node_from_key(name), []).append(at)
        changed = False
        for node, ats in places.items():
            breaker = self._nodes.setdefault(node.name, Breaker(failures=1))
            if not breaker.allow():
                found: list[Any] = [redis.ConnectionError(f"{node.name} is left alone for a while")] * len(ats)
            else:
                found = _pipelined(client.get_redis_connection(node), [names[at] for at in ats], ask)
                lost = isinstance(found[0], (redis.ConnectionError, redis.TimeoutError))
                (breaker.fail if lost else breaker.succeed)()
                changed |= lost or any(isinstance(answer, MovedError) for answer in found)
            for at, answer in zip(ats, found, strict=True):
                answers[at] = answer
        if changed:
            client.nodes_manager.initialize()  # a replica may have taken over
        _raise_if_none_worked(answers)
        return answers

    # ---- locks

    @contextmanager
    def lock(self, key: str, *, ttl: float) -> Iterator[bool]:
        """Hold a lock for at most `ttl` seconds; enters with False where another holder has it.

        Without Redis everybody enters with True: the lock saves work twice, it guards nothing.
        """
        name, token = f"{self.prefix}lock:{key}", os.urandom(16)
        held = bool(self._try(lambda client: client.set(name, token, nx=True, px=max(1, math.ceil(1e3 * ttl))), True))
        try:
            yield held
        finally:
            if held:
                self._try(lambda client: client.eval(RELEASE, 1, name, token), None)

    # ---- trouble

    def ping(self) -> None:
        """Ask whether Redis is there.

        Raises:
            ComponentUnavailable: it is not.
        """
        try:
            self._connected().ping()
        except TROUBLE as error:
            raise ComponentUnavailable(f"Redis at {self.address} does not answer: {_say(error)}.") from error

    def diagnose(self) -> Iterator[Finding]:
        """Say whether Redis is there, and whether it is set up as a cache: with a limit, and a policy that evicts."""
        check = "redis memory"
        try:
            told = self._connected().info("memory")
        except TROUBLE as error:
            said = f"Redis at {self.address} does not answer: {_say(error)}"
            yield Finding(check, FAILED, said, "Start it, or see host, port and password of the plugin redis.")
            return
        # A cluster answers by node.
        for node, info in {self.address: told}.items() if "used_memory" in told else told.items():
            limit, policy = int(info.get("maxmemory", 0)), info.get("maxmemory_policy", "noeviction")
            said = f"{node}: {info['used_memory'] / 2**20:.0f} MiB of {limit / 2**20:.0f}, {policy}"
            if not limit:
                said = f"{node} may grow until its machine has no memory left"
                yield Finding(check, WARNING, said, "Set maxmemory: deploy/redis/redis.conf")
            elif policy == "noeviction":
                yield Finding(check, WARNING, f"{said}: full, it refuses", "Set maxmemory-policy allkeys-lru.")
            else:
                yield Finding(check, OK, said)

    def _try(self, ask: Callable[[Any], T], otherwise: T) -> T:
        if not self.breaker.allow():
            return otherwise
        try:
            answer = ask(self._connected())
        except TROUBLE as error:
            was_open = self.breaker.open
            self.failures += 1
            self.breaker.fail()
            if self.breaker.open and not was_open:
                log.warning("Redis at %s is left alone for a while: %s", self.address, _say(error))
            return otherwise
        if self.breaker.open:
            log.info("Redis at %s answers again", self.address)
        self.breaker.succeed()
        return answer

    def _connected(self) -> Any:
        if self._client is None or self._pid != os.getpid():
            self._client, self._pid = self._make(), os.getpid()
        return self._client

    def _expiry(self, ttl: float | None) -> int | None:
        """Return milliseconds, 0 for what is over already, None for ever."""
        seconds = self.default_ttl if ttl is None else ttl
        if seconds is None or seconds == math.inf:
            return None
        return 0 if seconds <= 0 else max(1, math.ceil(1e3 * seconds))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _pipelined(node: Any, names: list[str], ask: Callable[[Any, str], None]) -> list[Any]:
    try:
        with node.pipeline(transaction=False) as pipe:
            for name in names:
                ask(pipe, name)
            answers: list[Any] = pipe.execute(raise_on_error=False)
    except TROUBLE as error:
        return [error] * len(names)
    return answers


def _raise_if_none_worked(answers: list[Any]) -> None:
    # A full server refuses each one (OOM): that is trouble, too.
    if answers and all(isinstance(answer, Exception) for answer in answers):
        raise answers[0]


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
