"""Trials as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from automl_core import ComponentUnavailable, Executor, Shared
from automl_core.diagnosis import Finding
from automl_ray.tasks import RayShared, call, is_loss, unpack

if TYPE_CHECKING:
    from automl_ray.cluster import Cluster

__all__ = ["RayExecutor"]

T = TypeVar("T")
log = logging.getLogger("automl.ray")


@dataclass(slots=True, eq=False)
class _Task:
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    ref: Any = None
    ended: bool = False
    lost: int = 0


class RayExecutor(Executor):
    """Runs functions as Ray tasks; they may be closures.

    Ray places them where their resources are free, and gets no more of them than fit, so that the others can wait here.
    A call whose worker or node dies, or is killed for its memory, runs again elsewhere, `retries` times, each of which is
    logged; after that the future fails with Ray's error. Cancelling a future that runs kills its worker, so that a fit that hangs gives its place back.

    Args:
        cluster: closed with the executor.
        cpus, gpus, memory: what each call reserves; memory in bytes.
        concurrency: calls given to Ray at once, for a cluster that grows by demand; None: as many as it has room for.
        retries: how often a call is run again whose worker died.
        grace: seconds that `close` waits for what still runs.

    Raises:
        ComponentUnavailable: the cluster has no room for a single call.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        cpus: float = 1.0,
        gpus: float = 0.0,
        memory: int | None = None,
        concurrency: int | None = None,
        retries: int = 2,
        grace: float = 5.0,
    ) -> None:
        self.cluster, self._grace, self._concurrency = cluster, grace, concurrency
        self._need: Mapping[str, float] = {"CPU": cpus, "GPU": gpus, "memory": float(memory or 0)}
        self._retries = retries
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._running: set[_Task] = set()
        self._closed = False
        # Ray would run it again without a word, and where memory is short for ever.
        options: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0}
        if memory:
            options["memory"] = memory
        self._call = cluster.ray.remote(**options)(call)
        if concurrency is None:
            try:
                cluster.wait_for_room(self._need)
            except ComponentUnavailable:
                cluster.close()
                raise

    @property
    def capacity(self) -> int:
        return self._concurrency or max(1, self.cluster.room(self._need))

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        """See `Executor.submit`.

        Raises:
            RuntimeError: the executor is closed.
            ComponentUnavailable: the connection to the cluster is lost.
        """
        task = _Task(Future(), fn, args)
        with self._lock:
            self._check_open()
            self._waiting.append(task)
        task.future.add_done_callback(partial(self._cancelled, task))
        self._start_waiting()
        return task.future

    def share(self, value: T) -> Shared[T]:
        """Put `value` into the object store; each node copies it once, when a worker of it asks first.

        Raises:
            ComponentUnavailable: the object store has no room for it.
        """
        with self._lock:
            self._check_open()
        return RayShared(value, self.cluster.put(value))

    def close(self) -> None:
        with self._lock:
            already, self._closed = self._closed, True
            waiting, running = list(self._waiting), list(self._running)
            self._waiting.clear()
        if already:
            return
        for task in waiting:
            task.future.cancel()
        for future in wait([task.future for task in running], timeout=self._grace).not_done:
            future.cancel()
        self.cluster.close()

    def diagnose(self) -> Iterator[Finding]:
        """See `Diagnoses`."""
        yield from self.cluster.diagnose(self._need)

    # ---- to Ray and back. A future stays pending until its task is over, so that it can be cancelled while it runs.

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("executor 'ray' is closed")
        if not self.cluster.alive:
            raise ComponentUnavailable(
                f"the connection to the Ray cluster at {self.cluster.address or 'this machine'} is closed. Start the "
                "study again: it goes on where it stopped."
            )

    def _start_waiting(self) -> None:
        capacity = self.capacity
        with self._lock:
            while self._waiting and len(self._running) < capacity:
                task = self._waiting.popleft()
                if not task.ended:
                    self._start(task)

    def _start(self, task: _Task) -> None:
        self._running.add(task)
        try:
            task.ref = self._call.remote(task.fn, *task.args)
            inner = task.ref.future()
        except Exception as error:  # noqa: BLE001 - handed on by the future
            self._finish(task, None, error)
            return
        inner.add_done_callback(partial(self._land, task))

    def _land(self, task: _Task, inner: Future[bytes]) -> None:
        result, error = None, None
        if not task.ended:
            try:
                result, error = unpack(inner.result())
                if error is not None and self._again(task, error):
                    return
            except BaseException as raised:  # noqa: BLE001 - a dead worker, or a result that cannot be unpickled here
                if self._again(task, raised):
                    return
                # What Ray could not even start or send back has its own cause, as a function that cannot be pickled.
                error = getattr(raised, "cause", None) or raised
        with self._lock:
            self._running.discard(task)
        if not self._closed:
            self._start_waiting()  # before those who wait for this one take the processor
        self._finish(task, result, error)

    def _again(self, task: _Task, error: BaseException) -> bool:
        """Put a call first in the queue whose worker was lost, as often as it may be run again."""
        if not is_loss(error) or not self.cluster.alive:
            return False
        with self._lock:
            if self._closed or task.ended or task.lost >= self._retries:
                return False
            task.lost += 1
            self._running.discard(task)
            self._waiting.appendleft(task)
        said = str(error).strip().partition("\n")[0]
        log.warning("a fit was lost with its worker and runs again, %d of %d times: %s", task.lost, self._retries, said)
        self._start_waiting()
        return True

    def _finish(self, task: _Task, result: Any, error: BaseException | None) -> None:
        with self._lock:
            self._running.discard(task)
            if task.ended:
                return
            task.ended = True
        task.fn, task.args = call, ()  # what holds the future need not hold them
        if not task.future.set_running_or_notify_cancel():
            return
        if error is not None:
            task.future.set_exception(error)
        else:
            task.future.set_result(result)

    def _cancelled(self, task: _Task, future: Future[Any]) -> None:
        with self._lock:
            if not future.cancelled() or task.ended:
                return
            task.ended = True
            ref = task.ref
        future.set_running_or_notify_cancel()  # wakes those who wait for several futures
        if ref is not None and self.cluster.alive:
            self.cluster.ray.cancel(ref, force=True)
