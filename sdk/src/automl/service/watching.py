"""Models that change: files that are replaced, aliases that point elsewhere."""

from __future__ import annotations

import logging
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from automl.service.served import Served
from automl_core import AutoMLError

if TYPE_CHECKING:
    from automl.service.service import PredictionService

__all__ = ["Watcher"]

log = logging.getLogger("automl.service")


class Watcher:
    """Looks every `seconds`, and replaces what changed; what cannot be read leaves the old model in service."""

    def __init__(self, service: PredictionService, seconds: float) -> None:
        self._service, self._seconds = service, seconds
        self._refused: dict[tuple[str, str], object] = {}
        self._stop = Flag()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start to look where there is something to look at; harmless when called again."""
        if self._thread is None and self._seconds and any(served.source for served in self._service.models()):
            self._thread = Thread(target=self._work, name="automl-reload", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> int:
        """Look once, and return how many were replaced."""
        return sum(self._look_at(served) for served in self._service.models())

    def _work(self) -> None:
        while not self._stop.wait(self._seconds):
            self.look()

    def _look_at(self, served: Served) -> bool:
        if served.source is None:
            return False
        now: object = None
        try:
            now = served.source.fingerprint()
            if now == served.fingerprint or self._refused.get((served.name, served.version)) == now:
                return False
            new = Served.load(served.name, served.source, reloaded=True)
        except (AutoMLError, OSError, KeyError) as error:
            log.warning("%s@%s stays in service: its source cannot be read: %s", served.name, served.version, error)
            if not isinstance(error, OSError | KeyError):
                self._refused[served.name, served.version] = now
            return False
        if new.token == served.token:  # written again, not changed
            served.fingerprint = new.fingerprint
            return False
        self._service.replace(served, new)
        log.info("%s@%s took the place of version %s", new.name, new.version, served.version)
        return True
