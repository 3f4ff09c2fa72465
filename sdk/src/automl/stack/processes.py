"""Processes that outlive the command that starts them, and are known again by id and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "alive", "end", "spawn"]

MARK = "_AUTOML_STACK"  # in the environment of a part and of all that it starts
PROC = Path("/proc")
POLL = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """`started` differs from that of another process which gets the same id later, also after a restart of the machine."""

    pid: int
    started: str


def spawn(command: Sequence[str], *, environment: Mapping[str, str], log: Path, mark: str) -> Process:
    """Start a program in a session of its own, so that Ctrl-C does not reach it; its output goes to a new log.

    Raises:
        OSError: the program cannot be started.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    told = {**os.environ, **environment, MARK: mark}
    # No Popen: that one warns, and reaps, where its process is left to itself.
    pid = os.posix_spawn(command[0], list(command), told, file_actions=actions, setsid=True)
    return Process(pid, _started(pid))


def alive(process: Process) -> bool:
    """Whether it runs; another process of the same id does not count, nor one that nobody has reaped."""
    return bool(process.started) and _started(process.pid) == process.started


def end(process: Process, mark: str, *, patience: float = 40.0, grace: float = 5.0) -> None:
    """End a part: the process gets SIGTERM, after `patience` seconds SIGKILL, and then what it left behind likewise."""
    if alive(process):
        _signal([process.pid], signal.SIGTERM)
        if not _wait(lambda: not alive(process), patience):
            _signal([process.pid], signal.SIGKILL)
    if left := _marked(mark):
        _signal(left, signal.SIGTERM)
        if not _wait(lambda: not _marked(mark), grace):
            _signal(_marked(mark), signal.SIGKILL)
    _wait(lambda: not alive(process) and not _marked(mark), grace)


def _started(pid: int) -> str:
    """Return what tells a process from all others of its id; empty where there is none, or only its exit code is left."""
    if not PROC.is_dir():
        return _started_by_ps(pid)
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _started_by_ps(pid: int) -> str:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, since = subprocess.run(command, capture_output=True, text=True).stdout.strip().partition(" ")
    return "" if state.startswith("Z") else since.strip()


def _marked(mark: str) -> list[int]:
    """Return the processes that a part started, as far as the system tells (Linux)."""
    told, found = os.fsencode(f"{MARK}={mark}"), []
    for folder in PROC.glob("[0-9]*") if sys.platform == "linux" else ():
        with suppress(OSError):
            pid = int(folder.name)
            if told in (folder / "environ").read_bytes().split(b"\0") and pid != os.getpid():
                found.append(pid)
    return found


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(POLL)
    return True
