"""Trials in threads of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread, current_thread
from time import monotonic
from typing import Any, TypeVar

from automl_core import Executor

__all__ = ["ThreadsExecutor"]

T = TypeVar("T")


class ThreadsExecutor(Executor):
    """A pool of daemon threads.

    The standard library's pool is joined when the interpreter exits, so that one hung fit would keep the program from
    ending (python/cpython#80961); threads of this one die with it.

    Args:
        threads: how many there are at most; each starts when it is first needed.
        grace: seconds that `close` waits for what still runs. What has not started is cancelled.
    """

    def __init__(self, threads: int, *, grace: float = 5.0) -> None:
        self._capacity, self._grace = max(1, threads), grace
        self._changed = Condition()
        self._queue: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()
        self._threads: list[Thread] = []
        self._idle = 0
        self._closed = False

    @property
    def capacity(self) -> int:
        return self._capacity

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("executor 'threads' is closed")
            self._queue.append((future, fn, args))
            if len(self._queue) > self._idle and len(self._threads) < self._capacity:
                thread = Thread(target=self._work, name=f"automl-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()
        return future

    def close(self) -> None:
        with self._changed:
            self._closed = True
            waiting, threads = list(self._queue), list(self._threads)
            self._queue.clear()
            self._threads.clear()
            self._changed.notify_all()
        for future, _, _ in waiting:
            future.cancel()
            future.set_running_or_notify_cancel()  # wakes those who wait for several futures
        deadline = monotonic() + self._grace
        for thread in threads:
            if thread is not current_thread():
                thread.join(max(0.0, deadline - monotonic()))

    def _work(self) -> None:
        while (task := self._next()) is not None:
            future, fn, args = task
            if future.set_running_or_notify_cancel():
                _run(future, fn, args)
            del task, future, fn, args  # a waiting thread keeps no data alive

    def _next(self) -> tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None:
        with self._changed:
            self._idle += 1
            while not self._queue and not self._closed:
                self._changed.wait()
            self._idle -= 1
            return self._queue.popleft() if self._queue else None


def _run(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        future.set_result(fn(*args))
    except BaseException as error:  # noqa: BLE001 - handed on by the future
        future.set_exception(error)
    finally:
        del future, fn, args  # the error's traceback holds this frame, which must not hold the data
