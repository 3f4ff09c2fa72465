"""Trials on a Dask cluster."""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from automl_core import Executor, Shared
from automl_dask.gang import start_gang
from automl_dask.tasks import SharedValue, call, pack, unpack

if TYPE_CHECKING:
    from distributed import Future as DaskFuture

    from automl_core.diagnosis import Finding
    from automl_dask.cluster import Cluster

__all__ = ["DaskExecutor"]

T = TypeVar("T")
LARGE = 1 << 20  # bytes of a task from which on it goes to the workers as data, past the scheduler
ATTEMPTS = 3  # of a task whose shared values were lost with the last worker that held them
INTERVAL = 0.5  # seconds between two looks at the connection
KNOWN = 2.0  # seconds that a count of threads holds


@dataclass(slots=True, eq=False)
class _Task:
    future: Future[Any]
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    attempts: int = 0


class DaskExecutor(Executor):
    """Runs functions on the threads of a cluster's workers; they may be closures.

    The cluster gets no more tasks than it has threads, so what waits can be cancelled. A worker that dies has its tasks
    run once more on another one by our own scheduler (a scheduler elsewhere follows its `allowed-failures`); a task that
    kills workers again ends with Dask's `KilledWorker`. A lost scheduler is a ConnectionError in every future.

    Args:
        cluster: closed with the executor.
        grace: seconds that `close` waits for what still runs.
    """

    def __init__(self, cluster: Cluster, *, grace: float = 5.0) -> None:
        self._cluster, self._client, self._grace = cluster, cluster.client, grace
        self._lock = threading.RLock()
        self._waiting: deque[_Task] = deque()
        self._running: dict[_Task, DaskFuture] = {}
        self._threads, self._counted = 1, -KNOWN
        self._closed = False
        threading.Thread(target=_watch, args=(ref(self),), name="automl-dask", daemon=True).start()

    @property
    def capacity(self) -> int:
        now = time.monotonic()
        if now - self._counted > KNOWN and self._client.status == "running":
            self._counted = now
            self._threads = max(1, sum(self._client.nthreads().values()))
        return self._threads

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("executor 'dask' is closed")
            self._waiting.append(_Task(future, fn, args))
        self._start_waiting()
        return future

    def share(self, value: T) -> Shared[T]:
        """Copy `value` to every worker; those that join later get it with their first task."""
        if self._closed:
            raise RuntimeError("executor 'dask' is closed")
        shared = SharedValue(value)
        self._place(shared)
        return shared

    @property
    def members(self) -> int:
        return len(self._client.nthreads())

    @property
    def host(self) -> str:
        from distributed.comm.addressing import get_address_host
        from distributed.utils import get_ip

        return str(get_ip(get_address_host(self._cluster.address)))

    def gang(self, fn: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[Future[T]]:
        """Call `fn` on as many workers at the same time; see `automl_core.Gangs`."""
        calls = []
        for args in arguments:
            packed, shares = pack((fn, args))
            calls.append((packed, [self._place(shared) for shared in shares]))
        return start_gang(self._client, calls)

    def diagnose(self) -> Iterator[Finding]:
        return self._cluster.diagnose()

    def close(self) -> None:
        with self._lock:
            already, self._closed = self._closed, True
            waiting, running = list(self._waiting), dict(self._running)
            self._waiting.clear()
        if already:
            return
        for task in waiting:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()  # wakes those who wait for several futures
        hung = wait([task.future for task in running], timeout=self._grace).not_done
        for task, inner in running.items():
            if task.future in hung:
                # Before it is cancelled, which lands in another thread and looks like a scheduler that is gone.
                _fail(task, RuntimeError("executor 'dask' was closed while this ran"))
                if self._client.status == "running":
                    inner.cancel()
        self._cluster.close()

    # ---- to the cluster, which holds no more than it can run

    def _start_waiting(self) -> None:
        capacity = self.capacity
        while True:
            with self._lock:
                if not self._waiting or len(self._running) >= capacity:
                    return
                task = self._waiting.popleft()
                if not task.future.set_running_or_notify_cancel():
                    continue
                self._start(task)

    def _start(self, task: _Task) -> None:
        task.attempts += 1
        try:
            packed, shares = pack((task.fn, task.args))
            values = [self._place(shared) for shared in shares]
            body: Any = packed
            if len(packed) > LARGE:
                body = self._client.scatter([packed], hash=False)[0]
            key = f"automl-{getattr(task.fn, '__name__', 'call')}-{uuid.uuid4().hex}"
            inner = self._client.submit(call, body, *values, key=key, pure=False)
        except Exception as error:  # noqa: BLE001 - handed on by the future
            _fail(task, self._explain(error))
            return
        self._running[task] = inner
        inner.add_done_callback(partial(self._land, task))

    def _place(self, shared: SharedValue[Any]) -> DaskFuture:
        """Return Dask's future of a shared value, on the workers again if all that held it died."""
        with self._lock:
            if shared.future is None or shared.future.status not in ("pending", "finished"):
                shared.future = self._client.scatter([shared.get()], broadcast=True, hash=False)[0]
            return shared.future

    def _land(self, task: _Task, inner: DaskFuture) -> None:
        with self._lock:
            self._running.pop(task, None)
            lost = inner.cancelled() and not self._closed and self._client.status == "running"
            if lost and task.attempts < ATTEMPTS:
                self._start(task)
                return
        try:
            result, error = unpack(inner.result())
        except BaseException as raised:  # noqa: BLE001 - a dead worker, or a result that cannot be unpickled here
            result, error = None, self._explain(raised)
        if error is not None:
            _fail(task, error)
        elif not task.future.done():
            task.future.set_result(result)
        if not self._closed:
            self._start_waiting()

    def _give_up(self) -> None:
        """End what waits for a scheduler that is gone: with its client Dask forgets to call back."""
        with self._lock:
            tasks = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
        for task in tasks:
            _fail(task, self._explain(OSError("the connection was lost")))

    def _explain(self, error: BaseException) -> BaseException:
        if self._client.status == "running" and type(error).__name__ != "FutureCancelledError":
            return error
        lost = ConnectionError(f"the Dask scheduler at {self._cluster.address} is gone, and what ran there with it.")
        lost.__cause__ = error
        return lost


def _watch(executor: Callable[[], DaskExecutor | None]) -> None:
    while (alive := executor()) is not None and not alive._closed:
        if alive._client.status == "closed":
            alive._give_up()
        del alive
        time.sleep(INTERVAL)


def _fail(task: _Task, error: BaseException) -> None:
    if not task.future.done() and (task.future.running() or task.future.set_running_or_notify_cancel()):
        task.future.set_exception(error)
