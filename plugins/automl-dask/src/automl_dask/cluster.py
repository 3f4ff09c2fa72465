"""A Dask cluster: one that is there already, or workers on this machine."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Self

from dask import config
from distributed import Client, Scheduler
from distributed.deploy.spec import SpecCluster
from distributed.deploy.subprocess import SubprocessWorker

from automl_core import ComponentUnavailable
from automl_core.diagnosis import FAILED, OK, WARNING, Finding

__all__ = ["Cluster"]

log = logging.getLogger("automl.dask")
LOOPBACK = "127.0.0.1"
CHECK, GIB = "Dask cluster", 2**30
TASK = 3 * 500 * 10**6  # bytes that a task may take: a few partitions, the largest of which should have 500 MB
DEATHS = 1  # a task is tried once more when its worker died, as on a machine that is taken away; then it is to blame


class Cluster:
    """A connection, and the cluster behind it where there was none; a context manager.

    Workers on this machine are fresh interpreters on the loopback interface: the main script needs no guard, and they end
    with this process. Each has a nanny that starts it again when it dies.

    Args:
        address: of a scheduler, such as "tcp://host:8786"; None starts workers here.
        workers: how many to start (None: one for each core), or to wait for at an address.
        threads_per_worker, memory_limit: of workers started here; Dask's own defaults where None.
        timeout: seconds to wait for the scheduler and its first worker.
        as_default: whether Dask collections of this process compute here unless told otherwise.

    Raises:
        ComponentUnavailable: no scheduler answers at the address, or it has no worker.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        threads_per_worker: int | None = None,
        memory_limit: str | int | None = None,
        timeout: float = 60.0,
        as_default: bool = True,
    ) -> None:
        self._own: SpecCluster | None = None
        self.address = address
        if address is None:
            self._own = _start(workers, threads_per_worker, memory_limit, timeout)
            self.address = self._own.scheduler_address
        try:
            self.client = Client(self._own or address, timeout=timeout, set_as_default=as_default)
        except (OSError, TimeoutError, ValueError) as error:
            self._close_own()
            raise ComponentUnavailable(
                f"no Dask scheduler answers at {address} within {timeout:g} s ({error}). Start one with `dask scheduler`, "
                "or leave the address out to use this machine."
            ) from error
        try:
            self._wait(1 if self._own is None else workers or 1, timeout)
        except TimeoutError as error:
            self.close()
            raise ComponentUnavailable(
                f"the Dask scheduler at {self.address} has no worker after {timeout:g} s. Start one with "
                f"`dask worker {self.address}`."
            ) from error
        if self._own is None and workers:
            with contextlib.suppress(TimeoutError):
                self._wait(workers, timeout)
            found = len(self.client.nthreads())
            if found < workers:
                log.warning("the Dask cluster at %s has %d of %d workers; going on with those", address, found, workers)

    def _wait(self, workers: int, timeout: float) -> None:
        self.client.wait_for_workers(workers, timeout=timeout)

    def diagnose(self) -> Iterator[Finding]:
        """Say whether this is a cluster, and whether its workers have room for partitions of the usual size."""
        workers = list(self.client.scheduler_info(n_workers=-1)["workers"].values())
        limits, threads = [worker["memory_limit"] or 0 for worker in workers], sum(w["nthreads"] for w in workers)
        room = min((limit / worker["nthreads"] for limit, worker in zip(limits, workers, strict=True)), default=0.0)
        said = f"{self.address}: {len(workers)} workers, {threads} threads, {sum(limits) / GIB:.1f} GiB"
        if not workers:
            yield Finding(CHECK, FAILED, f"{self.address} has no worker", f"dask worker {self.address}")
        elif self._own is not None:
            yield Finding(CHECK, WARNING, f"{said} of this machine only", "set plugins.dask.address, to use a cluster")
        elif 0 in limits:
            yield Finding(CHECK, WARNING, f"{said}; a worker may take all memory", "give workers a --memory-limit")
        elif room < TASK:
            remedy = f"fewer threads or more memory a worker: {TASK / GIB:.1f} GiB a thread; deploy/README.md#dask"
            yield Finding(
                CHECK, WARNING, f"{said}; {room / GIB:.1f} GiB a thread, too little for large partitions", remedy
            )
        else:
            yield Finding(CHECK, OK, f"{said}, {room / GIB:.1f} GiB a thread")

    def close(self) -> None:
        """Disconnect, and end what was started here; may be called twice."""
        with contextlib.suppress(TimeoutError, OSError):
            self.client.close(timeout=2)
        self._close_own()

    def _close_own(self) -> None:
        if self._own is not None:
            self._own.close(timeout=10)
            self._own = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _start(workers: int | None, threads: int | None, memory_limit: str | int | None, timeout: float) -> SpecCluster:
    from distributed.deploy.utils import nprocesses_nthreads
    from distributed.worker_memory import parse_memory_limit

    count, each = nprocesses_nthreads() if workers is None and threads is None else (workers or 1, threads or 1)
    memory = parse_memory_limit(memory_limit or "auto", each, count, logger=log)
    own: dict[str, Any] = {"host": LOOPBACK, "dashboard": False, "dashboard_address": f"{LOOPBACK}:0"}
    worker = {
        "cls": SubprocessWorker,
        "options": {"worker_kwargs": {
            **own, "nthreads": each, "memory_limit": memory, "silence_logs": logging.ERROR, "death_timeout": timeout,
        }},
    }  # fmt: skip
    scheduler = {"cls": Scheduler, "options": {**own, "port": 0, "allowed_failures": DEATHS}}
    with config.set({"distributed.comm.timeouts.connect": timeout}):
        return SpecCluster(
            workers=dict.fromkeys(range(count), worker), scheduler=scheduler, worker=worker, silence_logs=logging.ERROR
        )
