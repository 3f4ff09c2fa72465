"""This machine: versions, open files, disk, port, clock."""

from __future__ import annotations

import errno
import shutil
import socket
import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import time

from automl.doctor.asked import Asked
from automl.doctor.web import ask
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError
from automl_core.plugins import FIRST_PARTY

__all__ = ["check_clock", "check_machine"]

SPARE_FILES = 200  # what a worker has open besides connections
LITTLE_DISK = 1 << 30
SKEW = 2.0  # seconds; the Date of HTTP has whole ones


def check_machine(asked: Asked) -> Iterator[Finding]:
    """Look at what a process would find here."""
    yield _versions()
    yield _disk(asked.settings.directory)
    if asked.serves:
        yield _kernel()
        yield _open_files(asked)
        if not asked.url:
            yield _port(asked)


def _versions() -> Finding:
    found: dict[str, str] = {}
    for name in ("automl-core", "automl-sdk", *sorted(set(FIRST_PARTY.values()))):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # most are optional, and a selected one that is missing has its own line
    python = sys.version.split()[0]
    others = {name: text for name, text in found.items() if text != found.get("automl-core")}
    if others:
        listed = ", ".join(f"{name} {text}" for name, text in others.items())
        said = f"automl-core is {found.get('automl-core')}, but {listed}"
        return Finding("versions", WARNING, said, "Install all packages of one release, with deploy/constraints.txt.")
    return Finding("versions", OK, f"Python {python}, {len(found)} packages of {found.get('automl-core')}")


def _kernel() -> Finding:
    from automl.predictor.kernel import COMPILED

    if COMPILED:
        return Finding("kernel", OK, "predictions are compiled")
    return Finding(
        "kernel",
        WARNING,
        "the sdk was built without a compiler: predictions are slow",
        "Install a wheel of automl-sdk.",
    )


def _disk(directory: str) -> Finding:
    folder = Path(directory).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    said = f"{free / (1 << 30):.1f} GiB free for {directory}"
    if free < LITTLE_DISK:
        return Finding("disk", WARNING, said, "Make room, or set `directory` to another disk.")
    return Finding("disk", OK, said)


def _open_files(asked: Asked) -> Finding:
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return Finding("open files", OK, "no limit")
    wanted = getattr(asked.server(), "max_connections", 1000) + SPARE_FILES
    if soft < wanted:
        said = f"a process may open {soft} files, and max_connections of the server wants {wanted}"
        return Finding("open files", WARNING, said, f"ulimit -n {wanted}, or LimitNOFILE= of its unit.")
    return Finding("open files", OK, f"a process may open {soft}")


def _port(asked: Asked) -> Finding:
    block = asked.server()
    host = asked.host or getattr(block, "host", "127.0.0.1")
    port = getattr(block, "port", 8000) if asked.port is None else asked.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Finding("port", FAILED, f"{host}:{port} cannot be bound: {error.strerror}", "Set AUTOML_HOST.")
            said = f"{host}:{port} is taken"
            return Finding("port", WARNING, said, f"If that is the server, give --url http://{host}:{port}.")
    return Finding("port", OK, f"{host}:{port} is free")


def check_clock(asked: Asked) -> Iterator[Finding]:
    """Compare the clock with those of the servers that were named."""
    for url in filter(None, (asked.url, asked.prometheus)):
        try:
            date = ask(url).headers.get("date")
        except AutoMLError:
            continue  # said already where that server was looked at
        if date is not None:
            apart = abs(time() - parsedate_to_datetime(date).timestamp())
            state, remedy = (OK, "") if apart <= SKEW else (WARNING, "Run chrony or systemd-timesyncd on both.")
            yield Finding("clock", state, f"{apart:.0f} s from that of {url}", remedy)
            return
    yield Finding("clock", ABSENT, "no other clock to compare with", "Give --url or --prometheus.")
