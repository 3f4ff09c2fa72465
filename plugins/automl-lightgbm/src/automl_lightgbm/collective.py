"""LightGBM's two collective operations over sockets between the members of a fit.

LightGBM has sockets of its own, but they listen to anybody on every address of a machine, and do not look for the end of a
connection (`Linkers::Recv`). So it is given functions instead.
"""

from __future__ import annotations

import ctypes
import selectors
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, c_char, c_int, c_int32, c_void_p
from socket import socket
from typing import Any

import lightgbm as lgb

from automl_lightgbm.meeting import LOST, Peers

__all__ = ["Collective"]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SIZES = POINTER(c_int32)
REDUCE = CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_int32)
SCATTER = CFUNCTYPE(
    None, c_void_p, c_int32, c_int, SIZES, SIZES, c_int, c_void_p, c_int32, POINTER(REDUCE)
)  # ReduceScatterFunction of LightGBM/meta.h
GATHER = CFUNCTYPE(None, c_void_p, c_int32, SIZES, SIZES, c_int, c_void_p, c_int32)  # AllgatherFunction


class Collective:
    """What all members of a fit do at the same time. Not thread-safe: LightGBM keeps a member in its thread."""

    def __init__(self, peers: Peers) -> None:
        self.rank, self.members = peers.rank, len(peers.others) + 1
        self._peers = peers
        self._watched: dict[int, int] = {}  # events by rank
        self._error: BaseException | None = None

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Let fits of this thread sum over all members; rows must be in bins before.

        Raises:
            RuntimeError: another member was lost, whatever LightGBM made of it.
        """
        # C++ calls them as long as they are lent: they must not go.
        scatter, gather = SCATTER(self._reduce_scatter), GATHER(self._all_gather)
        functions = (ctypes.cast(scatter, c_void_p), ctypes.cast(gather, c_void_p))
        _call(lgb.basic._LIB.LGBM_NetworkInitWithFunctions(c_int(self.members), c_int(self.rank), *functions))
        try:
            yield
        except Exception:
            self.check()
            raise
        finally:
            _call(lgb.basic._LIB.LGBM_NetworkFree())
        self.check()

    def check(self) -> None:
        """Raise what ended an operation that LightGBM called: C++ cannot pass it on."""
        if self._error is not None:
            raise self._error

    def first(self, said: bool) -> bool:
        """Return what the first member said; all call it at the same time.

        Raises:
            RuntimeError: another member was lost.
        """
        self.check()
        told = bytearray(self.members)
        told[self.rank] = said
        view = memoryview(told)
        self._swap([(view[self.rank : self.rank + 1], view[rank : rank + 1]) for rank in range(self.members)])
        return bool(told[0])

    def _reduce_scatter(
        self,
        source: int,
        size: int,
        width: int,
        starts: Any,
        lengths: Any,
        count: int,
        target: int,
        _: int,
        reduce: Any,
    ) -> None:
        """Reduce a block of each member's `source` here, in the order of ranks, into `target`."""
        mine = lengths[self.rank]

        def work() -> None:
            whole, blocks = _view(source, size), memoryview(bytearray(mine * count))
            parts = [blocks[rank * mine : (rank + 1) * mine] for rank in range(count)]
            parts[self.rank][:] = whole[starts[self.rank] : starts[self.rank] + mine]
            self._swap([(whole[starts[r] : starts[r] + lengths[r]], parts[r]) for r in range(count)])
            if mine:
                ctypes.memmove(target, _address(parts[0]), mine)
                for part in parts[1:]:
                    reduce[0](_address(part), target, width, mine)

        self._guard(work, target, mine)

    def _all_gather(
        self, source: int, size: int, starts: Any, lengths: Any, count: int, target: int, room: int
    ) -> None:
        """Put the blocks of all members, each of whom has one at `source`, into `target`."""

        def work() -> None:
            ctypes.memmove(target + starts[self.rank], source, size)
            whole = _view(target, room)
            parts = [whole[starts[rank] : starts[rank] + lengths[rank]] for rank in range(count)]
            self._swap([(parts[self.rank], part) for part in parts])

        self._guard(work, target, room)

    def _guard(self, work: Callable[[], None], target: int, size: int) -> None:
        """Do it; after an error give LightGBM zeros, of which it makes no further split, so that its round ends."""
        if self._error is None:
            try:
                work()
                return
            except BaseException as error:  # noqa: BLE001 - raised by `check`
                self._error = error
        ctypes.memset(target, 0, size)

    def _swap(self, blocks: list[tuple[memoryview, memoryview]]) -> None:
        """Send a block to each rank and fill one from it, all at the same time; what is meant for itself is left out.

        Raises:
            RuntimeError: another member was lost, or the place where they met is closed.
        """
        out, into = ({rank: block[side] for rank, block in enumerate(blocks) if rank != self.rank} for side in (0, 1))
        try:
            for rank, peer in self._peers.others.items():
                out[rank] = _send(peer, out[rank])
            while any(out.values()) or any(into.values()):
                for rank, peer in self._peers.others.items():
                    self._watch(peer, rank, (WRITE if out[rank] else 0) | (READ if into[rank] else 0))
                self._step(out, into)
        except OSError as error:
            raise RuntimeError(LOST) from error

    def _step(self, out: dict[int, memoryview], into: dict[int, memoryview]) -> None:
        found = self._peers.selector.select()
        ready = [(key.data, events) for key, events in found if key.data is not None]
        if found and not ready:
            raise ConnectionError("the place where the members met was closed")
        for rank, events in ready:
            peer = self._peers.others[rank]
            if events & WRITE:
                out[rank] = _send(peer, out[rank])
            if events & READ:
                got = peer.recv_into(into[rank])
                if not got:
                    raise ConnectionError("a member closed its connection")
                into[rank] = into[rank][got:]

    def _watch(self, peer: socket, rank: int, wanted: int) -> None:
        """Wait for a peer as long as something is to be sent to it or read from it."""
        if wanted == self._watched.get(rank, 0):
            return
        if not wanted:
            self._peers.selector.unregister(peer)
        elif self._watched.get(rank, 0):
            self._peers.selector.modify(peer, wanted, rank)
        else:
            self._peers.selector.register(peer, wanted, rank)
        self._watched[rank] = wanted


def _send(peer: socket, block: memoryview) -> memoryview:
    """Send as much as goes without waiting, and return the rest."""
    try:
        return block[peer.send(block) :] if block else block
    except BlockingIOError:
        return block


def _view(address: int, size: int) -> memoryview:
    return memoryview((c_char * size).from_address(address)).cast("B")


def _address(block: memoryview) -> int:
    return ctypes.addressof(c_char.from_buffer(block))


def _call(status: int) -> None:
    lgb.basic._safe_call(status)
