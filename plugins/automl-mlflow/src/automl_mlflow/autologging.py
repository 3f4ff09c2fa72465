"""MLflow's autologging, which takes each fit within a study for one that its user asked for."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from threading import Lock

__all__ = ["Quiet"]


class Quiet:
    """Keeps autologging off while studies run, and leaves it as it was after the last one; thread-safe.

    MLflow's switch is one for all threads, as fits of a study are on others than the one that started it, and it
    does not count who turned it. So what somebody else fits in this process meanwhile is not autologged either.
    """

    _lock = Lock()
    _studies = 0
    _switch = ExitStack()

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """Turn it off, where MLflow is imported; harmless if begun."""
        with self._lock:
            if self._begun:
                return
            self._begun = True
            Quiet._studies += 1
            # Who has not imported MLflow does not autolog. It is there as soon as `mlflow.autolog` was called.
            module = sys.modules.get("mlflow.utils.autologging_utils")
            # Its user may have turned it off in this way already; leaving that would turn it on.
            if module is not None and not getattr(module, "_AUTOLOGGING_GLOBALLY_DISABLED", False):
                Quiet._switch.enter_context(module.disable_autologging())

    def end(self) -> None:
        """Turn it on again after the last study; harmless if not begun."""
        with self._lock:
            if not self._begun:
                return
            self._begun = False
            Quiet._studies -= 1
            if not Quiet._studies:
                Quiet._switch.close()
