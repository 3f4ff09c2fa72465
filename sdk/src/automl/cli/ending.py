"""How the process ends: by Ctrl-C, and with fits still under way."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from automl.closing import wait_for_closing

__all__ = ["INTERRUPTED", "leave", "two_stage_interrupt"]

INTERRUPTED = 130  # 128 + SIGINT, as shells say it


@contextmanager
def two_stage_interrupt() -> Iterator[None]:
    """Within, the first SIGINT raises KeyboardInterrupt once; the next one ends the process with 130."""

    def first(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGINT, second)
        print("\nstopping: keeping the best model so far (Ctrl-C again ends at once)", file=sys.stderr, flush=True)
        raise KeyboardInterrupt

    def second(_: int, __: FrameType | None) -> None:
        # Worker threads may sit in native code for long: an orderly exit would wait for them.
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def leave(code: int | str | None) -> None:
    """End the process as `sys.exit` does, without taking the interpreter down under threads that still fit.

    The time limit is over, so that nobody waits for a fit that was given up on (see `automl.closing`).
    """
    if threading.active_count() == 1 or not (code is None or isinstance(code, int)):
        sys.exit(code)
    atexit.unregister(wait_for_closing)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)
