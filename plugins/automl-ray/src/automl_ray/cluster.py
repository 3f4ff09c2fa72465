"""A Ray cluster: one that is there already, or one on this machine."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from math import inf
from typing import Any, Self
from urllib.parse import urlsplit

from automl_core import ComponentUnavailable
from automl_core.diagnosis import FAILED, OK, WARNING, Finding

__all__ = ["Cluster"]

PORTS = {"ray": 10001, "": 6379}
KNOWN = 2.0  # seconds that what is known of the cluster's resources holds
POLL = 0.2
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # it would call its maker
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what it will do in future; else it warns
}
# What Ray says of a process of its own that ended while it started, in words as it has no class for it.
_STARTING = (
    "timed out during startup",
    "Starting Ray client server failed",
    "Proxy failed to Connect to backend",
    "zombie",
)
STARTS = 3
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_lock = threading.Lock()
_users = 0  # clusters of this process that hold the connection that one of them made
_connected: str | None = None  # where that one is


class Cluster:
    """A connection to Ray, of which a process has one at most; a context manager.

    Where the process is connected already, that connection is used and left open; one that was made here is not taken for
    another address. Ray on this machine listens on the loopback interface only.

    Args:
        address: "auto", "host:6379" or "ray://host:10001"; None starts Ray on this machine.
        cpus, gpus, object_store_bytes: of a Ray that is started here.
        runtime_env: Ray's own description of what workers get before they start.
        timeout: seconds to wait for an answer.

    Raises:
        ComponentUnavailable: no cluster answers at the address, or this process is connected to another one.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cpus: int | None = None,
        gpus: int | None = None,
        object_store_bytes: int | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        timeout: float = 60.0,
    ) -> None:
        global _users, _connected
        self.address, self.timeout = address or None, timeout
        self._open = True
        self._resources: dict[str, float] = {}
        self._looked = -inf
        local = {"num_cpus": cpus, "num_gpus": gpus, "object_store_memory": object_store_bytes}
        with _lock:
            self.ray = _import_ray(local=self.address is None)
            self._counted = _users > 0 or not self.ray.is_initialized()
            if not self.ray.is_initialized():
                self._connect(local, dict(runtime_env or {}))
                _connected = self.address
            elif _users and self.address not in (None, "auto", _connected):
                raise ComponentUnavailable(
                    f"this process is connected to Ray at {_connected or 'this machine'} and cannot be to {self.address} "
                    "at the same time. Close what uses the one, or name one address for executor and search."
                )
            _users += self._counted

    def _connect(self, local: Mapping[str, Any], runtime_env: dict[str, Any]) -> None:
        options: dict[str, Any] = {"runtime_env": runtime_env or None}
        if self.address is None:
            options |= {"address": "local", "include_dashboard": False, **local}
        else:
            _knock(self.address, min(self.timeout, 10.0))
            _authenticate()
            options["address"] = self.address
        # Ray gives its processes 30 s to start, which a busy machine may not keep the first time; and the one that a head
        # starts for each client may end as it starts: the head forks while its other threads call gRPC.
        for left in reversed(range(STARTS)):
            try:
                self.ray.init(log_to_driver=False, configure_logging=False, **options)
                return
            except Exception as error:  # Ray has no class of its own for it
                self.ray.shutdown()
                if not left or not any(words in str(error) for words in _STARTING):
                    where = f"at {self.address}" if self.address else "on this machine"
                    raise ComponentUnavailable(
                        f"no Ray cluster answers {where}: {error} Start one with `ray start --head`, or leave the "
                        "address out to use this machine."
                    ) from error

    @property
    def alive(self) -> bool:
        return self._open and bool(self.ray.is_initialized())

    def resources(self) -> Mapping[str, float]:
        """Return what all nodes have together, at most two seconds old; what was known last where nobody answers."""
        now = time.monotonic()
        if now - self._looked > KNOWN and self.alive:
            try:
                self._resources = dict(self.ray.cluster_resources())
            except Exception as error:
                if not self._resources:
                    raise ComponentUnavailable(f"the Ray cluster at {self.address} does not answer: {error}") from error
            self._looked = now
        return self._resources

    def room(self, need: Mapping[str, float]) -> int:
        """Return how many times `need` fits into the whole cluster, whatever is in use."""
        have = self.resources()
        fits = [int(have.get(name, 0.0) / amount + 1e-9) for name, amount in need.items() if amount > 0]
        return min(fits, default=1)

    def wait_for_room(self, need: Mapping[str, float]) -> None:
        """Wait until one trial fits.

        Raises:
            ComponentUnavailable: it does not within the time limit.
        """
        deadline = time.monotonic() + self.timeout
        while self.room(need) < 1:
            if time.monotonic() > deadline:
                have = {name: self.resources().get(name, 0.0) for name in need}
                raise ComponentUnavailable(
                    f"the Ray cluster at {self.address or 'this machine'} has {have} after {self.timeout:g} s, and one "
                    f"trial needs {dict(need)}. Add nodes with `ray start --address=HEAD:6379`, or ask for less."
                )
            time.sleep(POLL)
            self._looked = -inf

    def put(self, value: Any) -> Any:
        """Put `value` into the object store of this node, or on its disk where it is full, and return Ray's reference.

        Raises:
            ComponentUnavailable: neither has room for it.
        """
        errors = self.ray.exceptions
        try:
            return self.ray.put(value)
        except (errors.ObjectStoreFullError, errors.OutOfDiskError) as error:
            raise ComponentUnavailable(
                "Ray's object store has no room for the data, and the disk behind it neither. Give it more with `ray start "
                "--object-store-memory`, or plugins.ray.object_store_bytes for a Ray that is started here; or free the disk."
            ) from error

    def diagnose(self, need: Mapping[str, float]) -> Iterator[Finding]:
        """Say whether this is a cluster, and whether a trial that needs so much fits into it."""
        where, have = self.address or "this machine", self.resources()
        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        if self.address is None:
            said = f"{have.get('CPU', 0):g} CPUs of this machine only"
            yield Finding(
                "Ray cluster",
                WARNING,
                said,
                "set plugins.ray.address, or ray_address of plugins.raytune, to use a cluster",
            )
        elif self.room(need) < 1:
            said = f"{where} has no room for one trial: {len(nodes)} nodes, {have.get('CPU', 0):g} CPUs"
            yield Finding("Ray cluster", FAILED, said, "add nodes with `ray start --address=HEAD:6379`")
        else:
            said = f"{where}: {len(nodes)} nodes, {have.get('CPU', 0):g} CPUs, {have.get('GPU', 0):g} GPUs"
            yield Finding("Ray cluster", OK, said)

    def close(self) -> None:
        """Disconnect, and end what was started here; may be called twice."""
        global _users
        with _lock:
            if not self._open:
                return
            self._open = False
            _users -= self._counted
            if self._counted and not _users and self.ray.is_initialized():
                self.ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _import_ray(*, local: bool) -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if local:
        # The documented argument for the address is overruled by the machine's first one, with listeners for all; this
        # switch keeps a single node on loopback. Ray reads it when it is imported, which may have been before.
        os.environ.setdefault(_CLUSTERS, "0")
        constants: Any = import_module("ray._private.ray_constants")
        constants.ENABLE_RAY_CLUSTER = constants.env_bool(_CLUSTERS, True)
    return import_module("ray")


def _authenticate() -> None:
    """Show the token of ~/.ray where there is one, as Ray itself does for every address but ray://."""
    try:
        setup: Any = import_module("ray._private.authentication.authentication_token_setup")
    except ModuleNotFoundError:
        return  # a Ray that knows no tokens
    if hasattr(setup, "maybe_enable_token_auth_if_token_available"):
        setup.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def _knock(address: str, timeout: float) -> None:
    """Raise ComponentUnavailable where nothing listens: Ray itself would try for a minute and more."""
    if address in ("auto", "local"):
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme, 10001)
        with socket.create_connection((host or "", port), timeout):
            pass
    except (OSError, ValueError) as error:
        raise ComponentUnavailable(
            f"no Ray cluster answers at {address} ({error}). Start one with `ray start --head`, or leave the address out "
            "to use this machine."
        ) from error
