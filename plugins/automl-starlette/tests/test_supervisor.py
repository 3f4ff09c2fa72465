"""The parent of the workers, with workers that say who they are."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.sharedctypes import RawArray

import pytest

from automl_core import AutoMLError
from automl_starlette.supervisor import Supervisor, drop_new
from automl_starlette.worker import ADOPTED, LEAVE, READY


class Shared:
    """Counts as the service's, in shared memory; a worker says that it is ready once its `may_start` is set."""

    def __init__(self, slots: int) -> None:
        self.opened, self.closed = RawArray("l", slots), RawArray("l", slots)
        self.may_start, self.ready = RawArray("b", slots), RawArray("b", slots)

    def by_slot(self, name: str) -> list[int]:
        return list(getattr(self, name))

    def add_to(self, slot: int, name: str) -> None:
        getattr(self, name)[slot] += 1


def tell_who(shared: Shared, slot: int, channel: socket.socket) -> None:
    """Greet each connection with slot, process and its TCP_NODELAY, and keep it open."""
    kept = []
    wait_for(lambda: shared.may_start[slot])
    channel.send(READY)
    shared.ready[slot] = True
    while True:
        order, fds, _, _ = socket.recv_fds(channel, 1, 1)
        for fd in fds:
            channel.send(ADOPTED)
            connection = socket.socket(fileno=fd)
            nodelay = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connection.sendall(f"{slot} {os.getpid()} {int(bool(nodelay))}\n".encode())
            kept.append(connection)
        if order in (b"", LEAVE):
            return


def wait_for(said: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not said():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def supervise() -> Iterator[object]:
    running: list[tuple[Supervisor, threading.Thread]] = []

    def start(workers: int, shared: Shared | None = None) -> tuple[str, int]:
        """Return the address; workers are ready when they like, or when `shared` lets them."""
        if shared is None:
            shared = Shared(workers)
            shared.may_start[:] = [True] * workers
        listener = socket.create_server(("127.0.0.1", 0))
        supervisor = Supervisor(listener, workers, partial(tell_who, shared), shared)
        address = listener.getsockname()
        thread = threading.Thread(target=supervisor.run, kwargs={"drain": 0.0, "grace": 2.0})
        thread.start()
        running.append((supervisor, thread))
        return address

    yield start
    for supervisor, thread in running:
        supervisor.stop()
        thread.join(10)
        assert not thread.is_alive()


def greet(address: tuple[str, int]) -> tuple[socket.socket, list[int]]:
    connection = socket.create_connection(address, timeout=10)
    with connection.makefile() as lines:
        return connection, [int(word) for word in lines.readline().split()]


def counts(opened: Sequence[tuple[socket.socket, list[int]]]) -> list[int]:
    return sorted(Counter(said[0] for _, said in opened).values())


@pytest.mark.parametrize("workers", [2, 3])
def test_connections_are_shared_evenly(supervise, workers) -> None:
    shared = Shared(workers)
    address = supervise(workers, shared)
    shared.may_start[:] = [True] * workers
    wait_for(lambda: all(shared.ready))
    opened = [greet(address) for _ in range(12 * workers)]
    assert counts(opened) == [12] * workers
    for connection, _ in opened:
        connection.close()


def test_a_worker_that_comes_late_catches_up(supervise) -> None:
    shared = Shared(3)
    address = supervise(3, shared)
    shared.may_start[:] = [True, True, False]
    wait_for(lambda: shared.ready[0] and shared.ready[1])
    opened = [greet(address) for _ in range(20)]
    assert counts(opened) == [10, 10]
    shared.may_start[2] = True
    wait_for(lambda: shared.ready[2])
    opened += [greet(address) for _ in range(13)]
    assert counts(opened) == [11, 11, 11]
    for connection, _ in opened:
        connection.close()


def test_answers_do_not_wait_for_acknowledgements(supervise) -> None:
    connection, said = greet(supervise(1))
    connection.close()
    assert said[2] == 1


def test_killed_worker_is_replaced(supervise) -> None:
    address = supervise(1)
    connection, (_, pid, _) = greet(address)
    os.kill(pid, signal.SIGKILL)
    connection.close()
    again, (_, other, _) = greet(address)
    again.close()
    assert other != pid


def test_worker_that_never_gets_ready_ends_the_server() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    supervisor = Supervisor(listener, 1, lambda slot, channel: None, Shared(1))
    with pytest.raises(AutoMLError, match="before it is ready"):
        supervisor.run(drain=0.0, grace=1.0)


def test_stop_before_run_ends_it() -> None:
    shared = Shared(1)
    shared.may_start[0] = True
    supervisor = Supervisor(socket.create_server(("127.0.0.1", 0)), 1, partial(tell_who, shared), shared)
    supervisor.stop()
    supervisor.run(drain=0.0, grace=2.0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what comes to a listener")
def test_connections_that_were_made_before_the_end_are_whole() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as late:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=10) as early:
            assert drop_new(listener)
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(address)
            accepted, _ = listener.accept()
            with accepted:
                early.sendall(b"x" * 100_000)
                early.shutdown(socket.SHUT_WR)
                assert sum(map(len, iter(lambda: accepted.recv(100_000), b""))) == 100_000
                accepted.sendall(b"y")
                assert early.recv(1) == b"y"
