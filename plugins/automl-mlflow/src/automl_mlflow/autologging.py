"""MLflow's autologging, which takes each fit within a study for one that its user asked for."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from threading import Lock
from weakref import WeakSet

__all__ = ["Quiet"]


class Quiet:
    """Keeps autologging off while studies run, and leaves it as it was after the last one; thread-safe.

    MLflow's switch is one for all threads, as fits of a study are on others than the one that started it, and it
    does not count who turned it. So what somebody else fits in this process meanwhile is not autologged either.
    """

    _lock = Lock()
    _running: WeakSet[Quiet] = WeakSet()  # without those of trackers that nobody ended, and nobody has any more
    _switch = ExitStack()

    def begin(self) -> None:
        """Turn it off, where MLflow is imported; harmless if begun."""
        with self._lock:
            if self in Quiet._running:
                return
            Quiet._running.add(self)
            # Who has not imported MLflow does not autolog. It is there as soon as `mlflow.autolog` was called.
            module = sys.modules.get("mlflow.utils.autologging_utils")
            # Its user may have turned it off in this way already; leaving that would turn it on.
            if module is not None and not getattr(module, "_AUTOLOGGING_GLOBALLY_DISABLED", False):
                Quiet._switch.enter_context(module.disable_autologging())

    def end(self) -> None:
        """Turn it on again after the last study; harmless if not begun."""
        with self._lock:
            Quiet._running.discard(self)
            if not Quiet._running:
                Quiet._switch.close()
