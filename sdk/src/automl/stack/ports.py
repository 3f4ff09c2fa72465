"""Ports of loopback: given, kept from before, or free ones."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

from automl_core.errors import ComponentUnavailable

__all__ = ["HOST", "choose_ports"]

HOST = "127.0.0.1"


def choose_ports(
    names: Iterable[str], *, given: Mapping[str, int], before: Mapping[str, int], used: Iterable[str]
) -> dict[str, int]:
    """Return a port for each name: the given one, else the one of before if it is free or used by us, else a free one.

    Raises:
        ComponentUnavailable: a given port is taken.
    """
    ours = {before[name] for name in used if name in before}
    chosen: dict[str, int] = {}
    with ExitStack() as held:  # all at once, or one port may be found free twice
        for name in names:
            wanted = given.get(name) or before.get(name, 0)
            if wanted and (wanted in ours or _take(held, wanted)):
                chosen[name] = wanted
            elif name in given:
                raise ComponentUnavailable(f"port {wanted} of {name} is taken; give another: --port {name}=NUMBER.")
            else:
                chosen[name] = _take(held, 0)
    return chosen


def _take(held: ExitStack, port: int) -> int:
    """Bind a port until the end, and return it; 0 where it is taken."""
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just ended is no hindrance
    try:
        probe.bind((HOST, port))
    except OSError:
        return 0
    return int(probe.getsockname()[1])
