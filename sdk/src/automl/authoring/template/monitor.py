"""A monitor that writes events to a file."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from queue import Full, Queue
from threading import Thread

from automl_core import Event, Monitor, encode

__all__ = ["FileMonitor"]

log = logging.getLogger(__name__)


class FileMonitor(Monitor):
    """Appends a line of JSON for each event, from a thread of its own; drops events while `waiting` of them wait."""

    def __init__(self, path: Path, *, waiting: int = 10_000) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._queue: Queue[Event | None] = Queue(waiting)
        self._thread = Thread(target=self._work, daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        with contextlib.suppress(Full):
            self._queue.put_nowait(event)

    def close(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        for event in iter(self._queue.get, None):
            try:
                with self._path.open("ab") as file:
                    file.write(encode(event) + b"\n")
            except (OSError, TypeError, ValueError):
                log.exception("the event %r was not written to %s", event.name, self._path)
