"""The parent of the workers: accepts connections, hands each to the worker with the fewest, replaces the dead.

Workers that accept from one socket leave all connections to whoever wakes first, and a socket each (SO_REUSEPORT) shares
by chance (both measured: two workers were no faster than one at 16 connections). Handing over costs one message for each
connection, nothing for each request.
"""

from __future__ import annotations

import ctypes
import logging
import os
import selectors
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from automl_core import AutoMLError
from automl_starlette.worker import ADOPT, ADOPTED, DRAIN, LEAVE, READY

__all__ = ["Supervisor", "drop_new"]

AT_ONCE = 64  # connections accepted before looking after workers again
PATIENCE = 30.0  # seconds in which a worker that died before it was ready is not started a fourth time
RETRY = 0.05
LAST_CALL = 0.1  # seconds in which a handshake that has begun may end
SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it
NO_SYN = (  # classic BPF on a TCP header, as (code, jump if true, if false, operand)
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK of them
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else keep it whole
)
log = logging.getLogger("automl.server")


@dataclass(slots=True)
class Child:
    """A worker as the parent sees it; `handed` are the connections that it has not taken yet, oldest first."""

    slot: int
    pid: int
    channel: socket.socket
    ready: bool = False
    handed: deque[socket.socket] = field(default_factory=deque)


class Supervisor:
    """Runs `work(slot, channel)` in `workers` forked processes.

    Args:
        counters: of the service, shared with the workers: they count connections that ended.
    """

    def __init__(
        self, listener: socket.socket, workers: int, work: Callable[[int, socket.socket], None], counters: Any
    ) -> None:
        self._listener, self._workers, self._work, self._counters = listener, workers, work, counters
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._stopping = 0
        self._accepting = self._closed = False
        self._failures: list[float] = []
        self._orphans: deque[socket.socket] = deque()

    def stop(self) -> None:
        """Make `run` drain and return; a second time, at once. Safe from a thread and from a signal handler."""
        self._stopping += 1
        try:
            self._wake.send(b"x")
        except OSError:
            return  # it is awake, or has ended

    def run(self, *, drain: float, grace: float) -> None:
        """Serve until `stop`.

        Raises:
            AutoMLError: workers die before they are ready.
        """
        self._listener.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        try:
            for slot in range(self._workers):
                self._spawn(slot)
            while not self._stopping:
                self._step(None)
            self._drain(drain)
        finally:
            self._closed = True
            self._watch_listener()
            self._listener.close()
            self._end(grace)
            self._selector.close()
            self._wake.close()
            self._woken.close()

    # ---- workers

    def _spawn(self, slot: int) -> None:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            self._become(slot, ours, theirs)
        theirs.close()
        ours.setblocking(False)
        self._children[slot] = Child(slot, pid, ours)
        self._selector.register(ours, selectors.EVENT_READ, slot)

    def _become(self, slot: int, ours: socket.socket, theirs: socket.socket) -> None:
        """Run a worker in this forked process, and end it."""
        code = 1
        try:
            # A terminal sends Ctrl-C to all processes; only the parent decides when workers leave.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._selector.close()
            for other in (ours, self._listener, self._wake, self._woken, *(c.channel for c in self._children.values())):
                other.close()
            self._work(slot, theirs)
            code = 0
        except BaseException:
            log.exception("worker %d failed", slot)
        finally:
            logging.shutdown()
            os._exit(code)  # what the parent registered to run at exit is not this process's

    def _hear(self, child: Child) -> None:
        try:
            said = child.channel.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        for _ in range(said.count(ADOPTED)):
            child.handed.popleft().close()
        if READY in said:
            child.ready = True
            self._watch_listener()
            while self._orphans and self._hand_over(self._orphans[0]):
                self._orphans.popleft()
        if said:
            return
        self._bury(child)
        if not self._stopping:
            if not child.ready:
                self._count_failure(child)
            self._spawn(child.slot)

    def _bury(self, child: Child) -> None:
        self._selector.unregister(child.channel)
        child.channel.close()
        del self._children[child.slot]
        self._orphans += child.handed  # nobody has read from them: the next worker finds their requests whole
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if not self._stopping:
            log.warning(
                "worker %d (process %d) ended with %d; another one takes its place", child.slot, child.pid, code
            )
        self._watch_listener()

    def _count_failure(self, child: Child) -> None:
        now = monotonic()
        self._failures = [at for at in self._failures if now - at < PATIENCE] + [now]
        if len(self._failures) > 2 + self._workers:
            raise AutoMLError(f"worker {child.slot} dies before it is ready, again and again; the log says why.")

    # ---- connections

    def _watch_listener(self) -> None:
        """Accept as long as somebody can take a connection; the kernel queues them meanwhile."""
        wanted = not self._closed and any(child.ready for child in self._children.values())
        if wanted and not self._accepting:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif self._accepting and not wanted:
            self._selector.unregister(self._listener)
        self._accepting = wanted

    def _step(self, timeout: float | None) -> None:
        # The listener last: who has died is known before connections are handed out.
        for key, _ in sorted(self._selector.select(timeout), key=lambda event: event[0].fileobj is self._listener):
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._woken:
                self._woken.recv(64)
            elif key.data in self._children:
                self._hear(self._children[key.data])

    def _accept(self) -> bool:
        """Hand on what waits; False where nothing does."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return False
            except OSError as error:  # out of file descriptors, or the client is gone
                log.warning("a connection cannot be accepted: %s", error)
                return False
            if not self._hand_over(connection):
                self._orphans.append(connection)
        return True

    def _hand_over(self, connection: socket.socket) -> bool:
        """Give a connection to the ready worker with the fewest; False where there is none."""
        if connection.family != socket.AF_UNIX:
            # Set here for every worker: some loops do not, and answers then wait 40 ms for an acknowledgement.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened, closed = self._counters.by_slot("opened"), self._counters.by_slot("closed")
        ready = [child for child in self._children.values() if child.ready]
        for child in sorted(ready, key=lambda child: opened[child.slot] - closed[child.slot]):
            try:
                socket.send_fds(child.channel, [ADOPT], [connection.fileno()])
            except OSError:  # it is dead, or does not keep up
                continue
            child.handed.append(connection)
            self._counters.add_to(child.slot, "opened")
            return True
        return False

    # ---- the end

    def _drain(self, seconds: float) -> None:
        """Answer on, not ready any more, until load balancers have noticed."""
        self._tell(DRAIN)
        self._go_on(seconds)
        if drop_new(self._listener):
            self._go_on(LAST_CALL)
        while self._accept():
            pass

    def _go_on(self, seconds: float) -> None:
        """Work as before for so long, or until a second `stop`."""
        until = monotonic() + seconds
        while self._stopping == 1 and (left := until - monotonic()) > 0:
            self._step(left)

    def _end(self, grace: float) -> None:
        self._tell(LEAVE)
        until = monotonic() + grace + 2.0  # the worker's own grace ends first
        while self._children and (left := until - monotonic()) > 0 and self._stopping < 3:
            self._step(min(left, RETRY * 20))
        for child in list(self._children.values()):
            os.kill(child.pid, signal.SIGKILL)
            self._bury(child)
        for connection in self._orphans:
            connection.close()

    def _tell(self, order: bytes) -> None:
        for child in self._children.values():
            try:
                child.channel.send(order)
            except OSError:
                continue  # it has ended already: its channel says so next


def drop_new(listener: socket.socket) -> bool:
    """Let the kernel drop what would open another connection; False where it is not Linux, and cannot.

    One that it takes between the last `accept` and `close` would be reset with its first request under way; so it is
    refused, when its client tries again. One that is just being made is made.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in NO_SYN))
    try:
        listener.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(NO_SYN), ctypes.addressof(program))
        )
    except OSError:
        return False
    return True
