"""Files by path or URI: finding them, and writing them so that none is ever seen half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from automl_core import DataError, did_you_mean

__all__ = ["Files", "atomic", "expand", "is_local", "open_place", "put"]

Files = tuple[Any, list[str]]


def open_place(uri: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the file system of a path or URI, and the path in it.

    Raises:
        DataError: the scheme is unknown, or its package is missing.
    """
    try:
        system, path = fsspec.core.url_to_fs(os.fspath(uri), **dict(options or {}))
    except (ImportError, ValueError) as error:
        raise DataError(f"{os.fspath(uri)!r} cannot be opened: {error}") from error
    return system, path


def is_local(system: Any) -> bool:
    return isinstance(system, LocalFileSystem)


def expand(
    uri: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    suffixes: tuple[str, ...],
    options: Mapping[str, Any] | None = None,
) -> Files:
    """Return the file system and the sorted files of a path, glob, folder or URI, or of a list of these.

    Args:
        suffixes: of the files that count in a folder.

    Raises:
        DataError: there is none.
    """
    uris = [uri] if isinstance(uri, str | os.PathLike) else list(uri)
    found: list[str] = []
    system: Any = None
    for one in uris:
        system, path = open_place(one, options)
        if any(mark in path for mark in "*?["):
            matches = sorted(system.glob(path))
        elif system.isdir(path):
            matches = sorted(p for p in system.find(path) if p.endswith(suffixes) and not _hidden(p.removeprefix(path)))
        else:
            matches = [path] if system.exists(path) else []
        if not matches:
            raise DataError(f"there is no file at {os.fspath(one)!r}.{_meant(system, path)}")
        found += matches
    return system, found


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


def _meant(system: Any, path: str) -> str:
    folder, _, name = path.rpartition("/")
    if not folder or not system.isdir(folder):
        return ""
    return did_you_mean(name, [p.rpartition("/")[2] for p in system.ls(folder, detail=False)])


@contextmanager
def atomic(system: Any, path: str) -> Iterator[Any]:
    """Open a file for writing; under its name it is there when the block has ended without an error, and whole."""
    if is_local(system):
        temporary = f"{path}.{os.getpid()}.tmp"
        try:
            with Path(temporary).open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return
    file = system.open(path, "wb", autocommit=False)
    try:
        yield file
        file.close()
        file.commit()
    except BaseException:
        file.discard()
        raise


def put(system: Any, path: str, data: bytes | memoryview) -> None:
    """Write a whole file, atomically."""
    with atomic(system, path) as file:
        file.write(data)
