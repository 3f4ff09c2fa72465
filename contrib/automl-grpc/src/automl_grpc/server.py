"""The server component."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from automl_core import ComponentUnavailable, Server, SettingsError
from automl_grpc.handlers import Handlers

if TYPE_CHECKING:
    from automl_grpc.settings import GrpcSettings

__all__ = ["GrpcServer"]


class GrpcServer(Server):
    """Serves in this process, on one event loop.

    SIGTERM and SIGINT end it gracefully: readiness falls, and what was asked is answered.

    Attributes:
        address: (host, port) while it serves; of port 0, the one that was found.
    """

    def __init__(self, settings: GrpcSettings) -> None:
        self.settings = settings
        self.address: tuple[str, int] | None = None
        self._turn = threading.RLock()  # a signal handler may interrupt its holder
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = False
        self._ended: asyncio.Event | None = None

    def serve(self, service: Any) -> None:
        """Serve an `automl.service.PredictionService` until `stop`; it is started here, and closed, unless it was.

        Raises:
            ComponentUnavailable: the address is taken, or not of this machine.
            SettingsError: the certificate or its key cannot be read.
        """
        ours = not service.started
        try:
            with _signals(self):
                asyncio.run(self._serve(service))
        finally:
            with self._turn:
                self._loop, self._ended, self.address, self._stopped = None, None, None, False
            if ours:
                service.close()

    def stop(self) -> None:
        with self._turn:
            self._stopped = True
            if self._loop is not None and self._ended is not None:
                self._loop.call_soon_threadsafe(self._ended.set)

    def close(self) -> None:
        self.stop()

    async def _serve(self, service: Any) -> None:
        settings, handlers = self.settings, Handlers(service, self.settings)
        # Without the first, a second server would share the port unnoticed.
        options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", settings.max_message)]
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((handlers.generic(),))
        try:
            port = self._bind(server)
            await asyncio.to_thread(service.start)
            await server.start()
            ended = asyncio.Event()
            with self._turn:
                self._loop, self._ended, self.address = asyncio.get_running_loop(), ended, (settings.host, port)
                if self._stopped:
                    ended.set()
            await ended.wait()
            handlers.draining = True
        finally:
            await server.stop(settings.grace)

    def _bind(self, server: Any) -> int:
        settings = self.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        place = f"{host}:{settings.port}"
        try:
            if settings.tls_certificate:
                return int(server.add_secure_port(place, _credentials(settings)))
            return int(server.add_insecure_port(place))
        except RuntimeError as error:
            raise ComponentUnavailable(
                f"the server cannot listen on {place}: it is taken, or not of this machine. Name another port."
            ) from error


def _credentials(settings: GrpcSettings) -> Any:
    try:
        key, certificate = Path(settings.tls_key).read_bytes(), Path(settings.tls_certificate).read_bytes()
    except OSError as error:
        raise SettingsError(f"the certificate of plugins.grpc cannot be read: {error}") from error
    return grpc.ssl_server_credentials([(key, certificate)])


@contextmanager
def _signals(server: GrpcServer) -> Iterator[None]:
    """Stop at SIGTERM and SIGINT, where this is the thread that gets them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: server.stop()) for number in ended]
    try:
        yield
    finally:
        for number, handler in zip(ended, before, strict=True):
            signal.signal(number, handler)
