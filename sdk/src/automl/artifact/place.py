"""Bytes at a path or URI, replaced atomically; URIs of a cloud go to its storage plugin, others to fsspec."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.artifact.registered import is_registered, locate
from automl.places import storage_at
from automl_core import AutoMLError, DataError

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["read_bytes", "write_bytes"]


def read_bytes(path: str | os.PathLike[str], *, plugins: Plugins | None = None) -> bytes:
    """Read a file, an object at a URI by fsspec, or a model of the registry in the settings.

    Args:
        plugins: whose settings reach a cloud; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: it is not there or cannot be read.
        ComponentUnavailable: its cloud does not answer, or refuses.
    """
    name = os.fspath(path)
    if is_registered(name):
        name = locate(name)
    try:
        if (storage := storage_at(name, plugins)) is not None:
            with storage.open_uri(name) as file:
                return bytes(file.read())
        if "://" in name:
            with _fsspec().open(name, "rb") as file:
                return bytes(file.read())
        return Path(name).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"there is no model at {name}.") from error
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, AutoMLError):
            raise
        raise DataError(f"the model at {name} cannot be read: {error}") from error


def write_bytes(path: str | os.PathLike[str], data: bytes, *, plugins: Plugins | None = None) -> None:
    """Write a file, or an object at a URI, so that readers see the old one or the new one whole, after a crash too.

    Args:
        plugins: whose settings reach a cloud; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: it cannot be written; an older file is still there.
        ComponentUnavailable: its cloud does not answer, or refuses.
    """
    name = os.fspath(path)
    try:
        if (storage := storage_at(name, plugins)) is not None:
            storage.put_uri(name, data)
        elif "://" in name:
            with _fsspec().open(name, "wb") as file:
                file.write(data)
        else:
            _replace(Path(name), data)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, AutoMLError):
            raise
        raise DataError(f"the file cannot be written to {name}: {error}") from error


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
        import fsspec
    except ImportError as error:
        raise DataError(
            "a model at a URI needs fsspec: pip install fsspec, and the package of the URI's scheme."
        ) from error
    return fsspec
