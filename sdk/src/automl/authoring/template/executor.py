"""An executor on the threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from automl_core import Executor

__all__ = ["PoolExecutor"]

T = TypeVar("T")


class PoolExecutor(Executor):
    """Hands functions to the standard library's pool."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)

    @property
    def capacity(self) -> int:
        return self._threads

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        return self._pool.submit(fn, *args)  # RuntimeError after `close`

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
