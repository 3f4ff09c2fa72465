"""Whole files, and failures of the disk that say which file and what to do."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from automl_core import ComponentUnavailable
from automl_local.logfile import RACES, sync_folder

__all__ = ["prune", "replace_file", "reported"]

STALE = 86_400.0  # seconds after which a temporary file belongs to nobody


@contextmanager
def reported(plugin: str, path: Path, action: str = "write") -> Iterator[None]:
    """Turn an OSError into a ComponentUnavailable that names the plugin and the file."""
    try:
        yield
    except OSError as error:
        raise ComponentUnavailable(
            f"plugin {plugin!r} cannot {action} {path}: {error.strerror or error}. "
            f"Make room or check the permissions there, or set plugins.{plugin}.directory to another folder."
        ) from error


def replace_file(path: Path, source: BinaryIO, *, temporary: Path) -> None:
    """Write a file so that it is there whole or not at all, even after a power cut.

    `temporary` is a folder of the same file system; what killed writers left there a day ago is removed.
    """
    temporary.mkdir(parents=True, exist_ok=True)
    _sweep(temporary)
    written = temporary / f"{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with written.open("xb") as file:
            shutil.copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        _move(written, path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _move(written: Path, path: Path) -> None:
    for _ in range(RACES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # somebody pruned the folder
            written.replace(path)
            sync_folder(path.parent)
            return
    raise FileNotFoundError(f"the folder {path.parent} is removed again and again")


def _sweep(temporary: Path) -> None:
    for path in temporary.iterdir():
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def prune(folder: Path, root: Path) -> None:
    """Remove empty folders, from `folder` up to but not including `root`."""
    while root in folder.parents:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone already
            return
        folder = folder.parent
