"""Trials one after the other, in the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from automl_core import Executor

__all__ = ["SerialExecutor"]

T = TypeVar("T")


class SerialExecutor(Executor):
    """`submit` returns when the function has; an interrupt from the keyboard goes to the caller."""

    def __init__(self) -> None:
        self._closed = False

    @property
    def capacity(self) -> int:
        return 1

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        if self._closed:
            raise RuntimeError("executor 'serial' is closed")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - handed on by the future
            future.set_exception(error)
        return future

    def close(self) -> None:
        self._closed = True
