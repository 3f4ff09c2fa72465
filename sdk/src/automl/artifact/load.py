"""From a file to a model."""

from __future__ import annotations

import os
import pickle
import sys
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, Any

from automl.artifact.container import FORMAT, MAX_BYTES, PRODUCER, unpack, unpack_manifest
from automl.artifact.place import read_bytes
from automl_core import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from automl.model import Model

__all__ = [
    "PICKLE", "check_format", "load_model", "make_model", "parse_manifest", "parse_model", "read_manifest", "unpack_model",
    "unpickle_model",
]  # fmt: skip

PICKLE = b"\x80"
ASSEMBLE = "automl.artifact.assemble"
BROKEN = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


def load_model(
    path: str | os.PathLike[str], *, allow_pickle: bool = False, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> Model:
    """Load the model of one target, as `automl.load_model` does that of any; a file of several is a DataError."""
    name = os.fspath(path)
    data = read_bytes(path)
    if data[:1] == PICKLE:
        return unpickle_model(data, name, allow_pickle)
    return parse_model(data, name, allow_pickle=allow_pickle, key=key, max_bytes=max_bytes)


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what a model's file says about itself, without loading the model: versions, schema, metrics, members.

    Raises:
        DataError: there is no such file, or it is damaged or of a newer format.
    """
    manifest = parse_manifest(read_bytes(path), os.fspath(path))
    _check_single(manifest, os.fspath(path))
    return manifest


def parse_manifest(data: bytes, name: str) -> dict[str, Any]:
    """Return what a file of these bytes says about itself, one of several targets too."""
    manifest = unpack_manifest(data, name)
    check_format(manifest, name)
    return manifest


def parse_model(
    data: bytes, name: str, *, allow_pickle: bool = False, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> Model:
    """Return the model whose file has these bytes; `name` is for messages. See `load_model`."""
    manifest, members = unpack_model(data, name, key=key, max_bytes=max_bytes)
    return make_model(manifest, members, name, allow_pickle)


def unpack_model(
    data: bytes, name: str, *, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Unpack a file, and meanwhile import what makes a model of it: inflating leaves the interpreter to other threads."""
    if ASSEMBLE in sys.modules:
        return unpack(data, name, key=key, max_bytes=max_bytes)
    imports = Thread(target=import_module, args=(ASSEMBLE,))
    imports.start()
    try:
        return unpack(data, name, key=key, max_bytes=max_bytes)
    finally:
        imports.join()


def make_model(manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str, allow_pickle: bool) -> Model:
    """Return the model of an unpacked file."""
    from automl.artifact.assemble import assemble

    check_format(manifest, name)
    _check_single(manifest, name)
    try:
        return assemble(manifest, members, name, allow_pickle)
    except BROKEN as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} is damaged: {type(error).__name__}: {error}. Save or copy it again.") from error


def check_format(manifest: Mapping[str, Any], name: str) -> None:
    """Raise DataError for what was not written by automl, or by a newer one."""
    version = manifest.get("format")
    if manifest.get("producer") != PRODUCER or isinstance(version, bool) or not isinstance(version, int):
        raise DataError(f"{name} was not written by automl.")
    if version > FORMAT:
        raise DataError(f"{name} has format {version}, newer than the {FORMAT} known here: upgrade automl-sdk.")


def _check_single(manifest: Mapping[str, Any], name: str) -> None:
    if "targets" in manifest:
        raise DataError(
            f"{name} holds models of several targets ({', '.join(map(str, manifest['targets']))}), and one model is needed "
            "here: save that of one target, automl.load_model(...).models[target].save(...), and use its file."
        )


def unpickle_model(data: bytes, name: str, allow_pickle: bool) -> Model:
    from automl.model import Model

    if not allow_pickle:
        raise DataError(
            f"{name} is a pickle, which can run any code when it is loaded. Where you trust it, load it with "
            "allow_pickle=True and save it again: model.save writes a file without code."
        )
    try:
        model = pickle.loads(data)  # noqa: S301 - the caller said so
    except Exception as error:
        raise DataError(f"{name} cannot be unpickled: {type(error).__name__}: {error}") from error
    if not isinstance(model, Model):
        raise DataError(f"{name} holds a {type(model).__name__}, no model of automl.")
    return model
