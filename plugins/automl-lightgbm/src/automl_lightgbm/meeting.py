"""How the processes of one fit find each other, and connect each to each."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

__all__ = ["LOST", "Peers", "join", "meet"]

LOST = "LightGBM's fit in several processes failed: another member was lost"
COME = 300.0  # seconds within which all members come
CONNECT = 30.0  # seconds within which those that came are connected
HELLO = 5.0  # seconds that a caller has to say who it is
LOOK = 0.2  # seconds between two looks at whether the place is closed
MOST = 1 << 20  # bytes of a message
log = logging.getLogger("automl.lightgbm")


@dataclass(frozen=True, slots=True)
class Peers:
    """What a member has of the others: sockets, none of which blocks.

    Attributes:
        others: by rank.
        selector: one key, without data, is ready once the place is closed.
    """

    rank: int
    others: Mapping[int, socket.socket]
    selector: selectors.BaseSelector


@contextmanager
def meet(members: int, host: str) -> Iterator[dict[str, Any]]:
    """Open a place for so many members at an address of this machine, and yield what `join` needs to find it."""
    token, over = secrets.token_hex(16), Event()
    with ExitStack() as guests, _listen(host) as server:
        port = server.getsockname()[1]
        thread = Thread(target=_introduce, args=(server, token, members, guests, over), name="automl-lightgbm-meet")
        thread.start()
        try:
            yield {"host": host, "port": port, "token": token}
        finally:
            over.set()
            thread.join()


@contextmanager
def join(place: Mapping[str, Any]) -> Iterator[Peers]:
    """Meet the other members, and stay connected as long as the context lasts.

    Raises:
        RuntimeError: not all came, or the place is closed.
    """
    with ExitStack() as opened:
        try:
            peers = _connect(place, opened)
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{LOST} before it began ({type(error).__name__}: {error})") from error
        yield peers


def _introduce(server: socket.socket, token: str, members: int, guests: ExitStack, over: Event) -> None:
    """Wait for all members, and tell each one its rank and where all of them listen."""
    try:
        came = _accept(server, token, members, guests, COME, over.is_set)
        addresses = [hello["address"] for _, hello in came]
        for rank, (guest, _) in enumerate(came):
            _send(guest, {"rank": rank, "addresses": addresses})
    except OSError as error:
        log.debug("members of a fit in several processes did not meet: %s", error)
        guests.close()  # which tells those that came


def _connect(place: Mapping[str, Any], opened: ExitStack) -> Peers:
    token = place["token"]
    hub = opened.enter_context(socket.create_connection((place["host"], place["port"]), timeout=COME))
    host = hub.getsockname()[0]
    with _listen(host) as server:
        _send(hub, {"token": token, "address": [host, server.getsockname()[1]]})
        told = _receive(hub)
        hub.setblocking(False)
        rank, addresses = told["rank"], told["addresses"]
        others = {}
        for other in range(rank):
            peer = opened.enter_context(socket.create_connection(tuple(addresses[other]), timeout=CONNECT))
            _send(peer, {"token": token, "rank": rank})
            others[other] = peer
        missing = len(addresses) - rank - 1
        for peer, hello in _accept(server, token, missing, opened, CONNECT, lambda: _closed(hub)):
            others[hello["rank"]] = peer
    for peer in others.values():
        peer.setblocking(False)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector = opened.enter_context(selectors.DefaultSelector())
    selector.register(hub, selectors.EVENT_READ)
    return Peers(rank, others, selector)


def _listen(host: str) -> socket.socket:
    return socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def _accept(
    server: socket.socket, token: str, count: int, opened: ExitStack, seconds: float, over: Callable[[], bool]
) -> list[tuple[socket.socket, dict[str, Any]]]:
    """Return so many connections of those that know the token, each with its first message.

    Raises:
        ConnectionError: `over` before all came. TimeoutError: they did not come in time.
    """
    found: list[tuple[socket.socket, dict[str, Any]]] = []
    until = time.monotonic() + seconds
    server.settimeout(LOOK)
    while len(found) < count:
        if over():
            raise ConnectionError("the place to meet was closed")
        if time.monotonic() > until:
            raise TimeoutError(f"{len(found)} of {count} members came within {seconds:.0f} s")
        try:
            caller, _ = server.accept()
        except TimeoutError:
            continue
        caller.settimeout(HELLO)
        try:
            hello = _receive(caller)
            known = hmac.compare_digest(str(hello.get("token")).encode(), token.encode())
        except (OSError, ValueError):
            known = False
        if known:
            found.append((opened.enter_context(caller), hello))
        else:
            caller.close()
    return found


def _closed(hub: socket.socket) -> bool:
    try:
        return not hub.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False


def _send(peer: socket.socket, message: Mapping[str, Any]) -> None:
    body = json.dumps(message).encode()
    peer.sendall(len(body).to_bytes(4, "big") + body)


def _receive(peer: socket.socket) -> dict[str, Any]:
    """Read one message.

    Raises:
        OSError: nobody is there any more, or says anything. ValueError: it is no message.
    """
    size = int.from_bytes(_exactly(peer, 4), "big")
    if size > MOST:
        raise ValueError(f"a message of {size} bytes")
    message = json.loads(_exactly(peer, size))
    if not isinstance(message, dict):
        raise ValueError(f"a message that is a {type(message).__name__}")
    return message


def _exactly(peer: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = peer.recv(size - len(parts))
        if not part:
            raise ConnectionError("the connection was closed")
        parts += part
    return bytes(parts)
