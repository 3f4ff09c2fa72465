"""The server component."""

from __future__ import annotations

import gc
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from automl_core import ComponentUnavailable, Server

if TYPE_CHECKING:
    from automl_starlette.settings import ServerSettings
    from automl_starlette.supervisor import Supervisor

__all__ = ["StarletteServer"]

BACKLOG = 2048


class StarletteServer(Server):
    """Serves in forked workers, which share the memory of models that were loaded before.

    SIGTERM and SIGINT end it gracefully: readiness falls, what was asked is answered, connections close. A second one
    skips the wait.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.address: tuple[str, int] | None = None
        self._supervisor: Supervisor | None = None
        self._stopped = False

    def bind(self) -> tuple[str, int]:
        """Take the address before serving, and return it: of port 0, the one that was found.

        Raises:
            ComponentUnavailable: the address is taken, or not of this machine.
        """
        host, port = self.settings.host, self.settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # The protocol is named: asyncio sets TCP_NODELAY on no socket that hides it (uvicorn issue 3149).
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise ComponentUnavailable(f"the server cannot listen on {host}:{port}: {error.strerror}.") from error
        self._listener = listener
        self.address = listener.getsockname()[:2]
        return self.address

    def serve(self, service: Any) -> None:
        """Serve an `automl.service.PredictionService` until `stop`; it must not be started, as threads do not survive a fork.

        Raises:
            ComponentUnavailable: the address is taken.
            AutoMLError: the service is started already, or workers die before they are ready.
        """
        from automl_core import AutoMLError
        from automl_starlette.supervisor import Supervisor
        from automl_starlette.worker import run_worker

        if service.started:
            raise AutoMLError("the service is started already; give the server one that is not, it forks first.")
        if self.address is None:
            self.bind()
        settings = self.settings
        service.counters = type(service.counters)(settings.workers)
        self._supervisor = Supervisor(
            self._listener,
            settings.workers,
            lambda slot, channel: run_worker(service, settings, slot, channel),
            service.counters,
        )
        if self._stopped:
            self._supervisor.stop()
        gc.collect()
        gc.freeze()  # so that the workers' collectors do not touch, and thereby copy, the shared pages
        try:
            with _signals(self._supervisor):
                self._supervisor.run(drain=settings.drain, grace=settings.grace)
        finally:
            gc.unfreeze()
            self._supervisor, self.address, self._stopped = None, None, False

    def stop(self) -> None:
        self._stopped = True
        if self._supervisor is not None:
            self._supervisor.stop()

    def close(self) -> None:
        self.stop()
        if self.address is not None and self._supervisor is None:
            self._listener.close()
            self.address = None


@contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """Stop at SIGTERM and SIGINT, where this is the thread that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: supervisor.stop()) for number in ended]
    try:
        yield
    finally:
        for number, handler in zip(ended, before, strict=True):
            signal.signal(number, handler)
