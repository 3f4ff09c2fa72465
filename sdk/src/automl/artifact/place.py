"""Bytes at a path or URI, replaced atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from automl.artifact.registered import is_registered, locate
from automl_core import DataError

__all__ = ["read_bytes", "write_bytes"]


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a file, an object at a URI by fsspec, or a model of the registry in the settings.

    Raises:
        DataError: it is not there or cannot be read.
    """
    name = os.fspath(path)
    if is_registered(name):
        name = locate(name)
    try:
        if "://" in name:
            with _fsspec().open(name, "rb") as file:
                return bytes(file.read())
        return Path(name).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"there is no model at {name}.") from error
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the model at {name} cannot be read: {error}") from error


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that readers see the old one or the new one whole, after a crash too; or an object by fsspec.

    Raises:
        DataError: it cannot be written; an older file is still there.
    """
    name = os.fspath(path)
    try:
        if "://" in name:
            with _fsspec().open(name, "wb") as file:
                file.write(data)
        else:
            _replace(Path(name), data)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"the model cannot be written to {name}: {error}") from error


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself must survive a crash
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _fsspec() -> Any:
    try:
        import fsspec  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(
            "a model at a URI needs fsspec: pip install fsspec, and the package of the URI's scheme."
        ) from error
    return fsspec
