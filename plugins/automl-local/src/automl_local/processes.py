"""Trials in processes of this machine."""

from __future__ import annotations

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, wait
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar
from weakref import finalize, ref

from loky.process_executor import ProcessPoolExecutor  # type: ignore[import-untyped]

from automl_core import ComponentUnavailable, Executor, Shared
from automl_local.shared import share_by_file
from automl_local.worker import call, pack, prepare, unpack

__all__ = ["ProcessesExecutor"]

T = TypeVar("T")
Task = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class ProcessesExecutor(Executor):
    """A pool of fresh interpreters, by loky: functions may be closures, and the main script needs no guard.

    A worker that dies takes what runs in its pool with it, as `BrokenProcessPool`; what waits goes to a new pool.

    Args:
        processes: how many there are; they start with the first submission.
        grace: seconds that `close` waits for what still runs, before it kills the workers.
        directory: where shared values are written; the system's folder for temporary files by default.
    """

    def __init__(self, processes: int, *, grace: float = 5.0, directory: str | None = None) -> None:
        self._capacity, self._grace, self._parent = max(1, processes), grace, directory
        self._lock = threading.RLock()
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: deque[Task] = deque()
        self._running: set[Future[bytes]] = set()
        self._folder: Path | None = None
        self._remove_folder: Callable[[], object] | None = None
        self._shares = 0
        self._closed = self._ends_at_exit = False

    @property
    def capacity(self) -> int:
        return self._capacity

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("executor 'processes' is closed")
            self._waiting.append((future, fn, args))
            self._start_waiting()
        return future

    def share(self, value: T) -> Shared[T]:
        """Write `value` to a file that workers map; it is deleted when the executor is closed.

        Raises:
            ComponentUnavailable: there is no room for it.
        """
        with self._lock:
            if self._closed:
                raise RuntimeError("executor 'processes' is closed")
            self._shares += 1
            number = self._shares
        try:
            return share_by_file(value, self._make_folder() / str(number))
        except OSError as error:
            raise ComponentUnavailable(
                f"executor 'processes' cannot share data by {error.filename or self._folder}: {error.strerror}. "
                "Make room there, or set plugins.processes.directory to another folder."
            ) from error

    def close(self) -> None:
        with self._lock:
            self._closed = True
            waiting, running = list(self._waiting), list(self._running)
            self._waiting.clear()
        for future, _, _ in waiting:
            future.cancel()
            future.set_running_or_notify_cancel()  # wakes those who wait for several futures
        _, hung = wait(running, timeout=self._grace)
        self._end_pool(kill=bool(hung), wait=True)
        if self._remove_folder is not None:
            self._remove_folder()

    def _end_pool(self, *, kill: bool, wait: bool) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=wait, kill_workers=kill)

    def _make_folder(self) -> Path:
        with self._lock:
            if self._folder is None:
                self._folder = Path(mkdtemp(prefix="automl-", dir=self._parent))
                # Also where nobody closes, or the interpreter ends meanwhile.
                self._remove_folder = finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            return self._folder

    # ---- from here to the pool, which holds no more than it can run: what it holds cannot be cancelled

    def _start_waiting(self) -> None:
        with self._lock:
            while self._waiting and len(self._running) < self._capacity:
                task = self._waiting.popleft()
                if task[0].set_running_or_notify_cancel():
                    self._start(*task)

    def _start(self, future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            inner = self._submit(pack((fn, args)))
        except Exception as error:  # noqa: BLE001 - handed on by the future
            future.set_exception(error)
            return
        self._running.add(inner)
        inner.add_done_callback(partial(self._land, future))

    def _submit(self, task: bytes) -> Future[bytes]:
        if self._pool is None:
            self._pool = self._make_pool()
        try:
            inner: Future[bytes] = self._pool.submit(call, task)
        except BrokenExecutor:
            self._pool = self._make_pool()
            inner = self._pool.submit(call, task)
        if not self._ends_at_exit:
            # Both loky and the standard library wait at exit for what runs, and for ever for what hangs. What was
            # registered last is called first, so this comes before what loky registered with its first task.
            threading._register_atexit(_end_at_exit, ref(self))  # type: ignore[attr-defined]
            self._ends_at_exit = True
        return inner

    def _make_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._capacity, initializer=prepare, initargs=(os.getpid(),))

    def _land(self, future: Future[Any], inner: Future[bytes]) -> None:
        with self._lock:
            self._running.discard(inner)
        try:
            result, error = unpack(inner.result())
        except BaseException as raised:  # noqa: BLE001 - a dead worker, or a result that cannot be unpickled here
            result, error = None, raised
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
        if not self._closed:
            self._start_waiting()


def _end_at_exit(executor: Callable[[], ProcessesExecutor | None]) -> None:
    if (alive := executor()) is not None:
        alive._end_pool(kill=True, wait=False)
