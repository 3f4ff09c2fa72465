"""What every server must do, whatever it speaks."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from automl_core.errors import ComponentUnavailable
from automl_core.kinds import Server
from automl_core.testing.conformance import Conformance

__all__ = ["ServerConformance"]


class ServerConformance(Conformance):
    """Override the fixtures `server`, `service` (what it serves) and `address` (where it listens, a free port)."""

    @pytest.fixture
    def server(self) -> Server:
        raise NotImplementedError("override the fixture `server`")

    @pytest.fixture
    def service(self) -> Any:
        raise NotImplementedError("override the fixture `service`")

    @pytest.fixture
    def address(self) -> tuple[str, int]:
        """Return (host, port) where `server` listens."""
        raise NotImplementedError("override the fixture `address`")

    def test_serve_listens_until_stop(self, server: Server, service: Any, address: tuple[str, int]) -> None:
        with _serving(server, service, address) as thread:
            assert thread.is_alive()
        assert not _listens(address)

    def test_serve_works_again_after_stop(self, server: Server, service: Any, address: tuple[str, int]) -> None:
        for _ in range(2):
            with _serving(server, service, address) as thread:
                assert thread.is_alive()

    def test_it_listens_on_this_machine_only(self, server: Server, service: Any, address: tuple[str, int]) -> None:
        with _serving(server, service, address):
            assert ip_address(socket.gethostbyname(address[0])).is_loopback

    def test_taken_address_is_reported(self, server: Server, service: Any, address: tuple[str, int]) -> None:
        with socket.create_server(address), pytest.raises(ComponentUnavailable, match=str(address[1])):
            server.serve(service)

    def test_stop_without_serve_is_harmless(self, server: Server) -> None:
        server.stop()
        server.stop()

    def test_close_may_be_called_twice(self, server: Server) -> None:
        with server as entered:
            assert entered is server
        server.close()


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def _serving(server: Server, service: Any, address: tuple[str, int]) -> Iterator[threading.Thread]:
    """Serve in a thread; on the way out stop, within 10 seconds."""
    thread = threading.Thread(target=server.serve, args=(service,), daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not _listens(address):
            assert thread.is_alive(), "serve returned before it listened"
            assert time.monotonic() < deadline, f"nothing listens on {address} after 30 s"
            time.sleep(0.02)
        yield thread
    finally:
        server.stop()
        thread.join(10)
    assert not thread.is_alive(), "serve goes on 10 s after stop"
