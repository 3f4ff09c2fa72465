"""Executors are closed aside, so that a fit that hangs does not hold up the answer."""

from __future__ import annotations

import atexit
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl_core import Executor

__all__ = ["close_aside", "wait_for_closing"]

PATIENCE = 10.0  # seconds; executors give up on what hangs sooner
_threads: list[Thread] = []


def close_aside(executor: Executor) -> None:
    """Close an executor in a thread of its own; the interpreter waits for it at its end, not much longer than its grace.

    A fit that was given up on goes on in native code, which crashes the process where it calls back into an interpreter
    that is being torn down (seen with CatBoost: SIGSEGV after all work was done).
    """
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    _threads.append(Thread(target=executor.close, name="automl-close", daemon=True))
    _threads[-1].start()


@atexit.register
def wait_for_closing() -> None:
    """Wait until what is being closed has ended."""
    for thread in _threads:
        thread.join(PATIENCE)
