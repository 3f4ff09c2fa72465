"""Ctrl-C: the first one stops the search, the second one ends at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["INTERRUPTED", "two_stage_interrupt"]

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
