"""One worker: uvicorn on connections that the supervisor hands over."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from automl_starlette.app import create_app
from automl_starlette.joining import JoiningTransport
from automl_starlette.state import State

if TYPE_CHECKING:
    from automl_starlette.settings import ServerSettings

__all__ = ["ADOPT", "ADOPTED", "DRAIN", "LEAVE", "READY", "run_worker"]

# What goes over the channel between supervisor and worker, a byte each.
ADOPT, DRAIN, LEAVE, READY, ADOPTED = b"a", b"d", b"l", b"r", b"t"
SWEEP = 1.0  # seconds between two looks for slow clients
SWITCH = 0.0005  # seconds that threads of monitors and of slow models may keep the one that answers, ten times less than usual
LAST_CALL = 0.5  # seconds in which a connection handed over last may still send its request
log = logging.getLogger("automl.server")


class Protocol(HttpToolsProtocol):
    """Counts connections, and knows since when a client owes the rest of a request."""

    counters: Any = None
    limit = 0
    owing: float | None = None
    owes_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._joining = JoiningTransport(transport)
        super().connection_made(self._joining)  # type: ignore[arg-type]
        self.owing = self.loop.time()
        if len(self.connections) > self.limit:
            self.send_400_response("Too many connections.")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.counters.add("closed")

    def on_response_complete(self) -> None:
        self._joining.flush()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.owing, self.owes_body = self.loop.time(), False

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.owes_body = True

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self.owing = None

    def is_late(self, now: float, header_timeout: float, body_timeout: float) -> bool:
        if self.owing is None:
            return False
        # The application's own limit answers 408 first.
        return now - self.owing > (body_timeout + SWEEP if self.owes_body else header_timeout)


class Worker(uvicorn.Server):
    """A uvicorn server without sockets of its own."""

    def __init__(self, config: uvicorn.Config, channel: socket.socket, settings: ServerSettings, state: State) -> None:
        super().__init__(config)
        self._channel, self._settings, self._state = channel, settings, state
        self._adopting: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._listen)
        self._sweeper = loop.call_later(SWEEP, self._sweep)
        self._channel.send(READY)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.draining = True
        self._sweeper.cancel()
        if self._adopting:
            await asyncio.wait(self._adopting)
        if any(connection.cycle is None for connection in self.server_state.connections):  # type: ignore[union-attr]
            await asyncio.sleep(LAST_CALL)
        await super().shutdown(sockets=[])

    def _listen(self) -> None:
        for _ in range(64):  # a flood of connections must not keep requests waiting
            try:
                order, fds, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                order, fds = b"", []
            for fd in fds:
                self._channel.send(ADOPTED)  # before a byte is read: from here on the connection dies with this worker
                task = asyncio.get_running_loop().create_task(self._adopt(socket.socket(fileno=fd)))
                self._adopting.add(task)
                task.add_done_callback(self._adopting.discard)
            if order == DRAIN:
                self._state.draining = True
            elif order in (b"", LEAVE):  # empty: the supervisor is gone
                asyncio.get_running_loop().remove_reader(self._channel)
                self.should_exit = True
                return

    async def _adopt(self, connection: socket.socket) -> None:
        config, loop = self.config, asyncio.get_running_loop()
        connection.setblocking(False)

        def make() -> Protocol:
            return Protocol(config, self.server_state, self.lifespan.state, _loop=loop)

        try:
            await loop.connect_accepted_socket(make, connection, ssl=config.ssl)
        except OSError as error:  # gone already, or no TLS
            connection.close()
            Protocol.counters.add("closed")
            log.debug("a connection ended before it began: %s", error)

    def _sweep(self) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        now = loop.time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Protocol) and connection.is_late(
                now, settings.header_timeout, settings.body_timeout
            ):
                connection.transport.abort()
        self._sweeper = loop.call_later(SWEEP, self._sweep)


def _print_access_log() -> None:
    """Write the access log to stdout, nothing but its JSON on a line, where nobody configured it otherwise."""
    access = logging.getLogger("automl.access")
    if access.handlers:
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    access.propagate = False


def run_worker(service: Any, settings: ServerSettings, slot: int, channel: socket.socket) -> None:
    """Answer what comes over the channel, until told to leave or the supervisor is gone."""
    service.counters.take(slot, clear=True)
    service.start()
    state = State()
    Protocol.counters, Protocol.limit = service.counters, settings.max_connections
    if settings.access_log:
        _print_access_log()
    config = uvicorn.Config(
        create_app(service, settings, state),
        http=Protocol,
        loop="uvloop" if os.name == "posix" else "asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(1, int(settings.keep_alive)),
        timeout_graceful_shutdown=max(1, int(settings.grace)),
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
    )
    # A full collection of the loaded heap takes 100 ms (measured): what is here stays, so take it out of sight.
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH)
    try:
        Worker(config, channel, settings, state).run(sockets=[])
    finally:
        service.close()
