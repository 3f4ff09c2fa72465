"""Events as log lines."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from threading import Thread

from automl_core import Event, Monitor, encode

__all__ = ["LogMonitor"]

PATIENCE = 2.0  # seconds that `close` waits for the lines that are due


class LogMonitor(Monitor):
    """Logs each event as one line of JSON, from a thread of its own: a slow handler costs the caller nothing.

    At most about `queue` events wait; further ones are dropped, and their number is logged on closing.
    """

    def __init__(self, *, logger: str = "automl.events", level: str = "INFO", queue: int = 10_000) -> None:
        self._log, self._level = logging.getLogger(logger), logging.getLevelNamesMapping()[level]
        self._limit = queue
        self._queue: SimpleQueue[Event | None] = SimpleQueue()
        self._closed = False
        self.dropped = 0
        self._thread = Thread(target=self._work, name="automl-events", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        if self._closed or self._queue.qsize() >= self._limit:
            self.dropped += 1
        else:
            self._queue.put(event)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join(PATIENCE)
        if self.dropped:
            self._log.warning("%d events were dropped: the handlers of %r are too slow", self.dropped, self._log.name)

    def _work(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._log.log(self._level, "%s", encode(event).decode())
            except Exception:  # noqa: BLE001 - see below
                # An attribute that cannot be written down must not end the thread.
                self._log.exception("the event %r cannot be logged", event.name)
