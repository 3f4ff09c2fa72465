"""What a worker process does before its first task."""

from __future__ import annotations

import os
import signal
import threading
import time

__all__ = ["prepare"]

INTERVAL = 1.0  # seconds between two looks at the parent


def prepare(parent: int) -> None:
    """Leave Ctrl-C to the parent, which decides what becomes of the study; end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), name="automl-parent", daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os._exit(1)
