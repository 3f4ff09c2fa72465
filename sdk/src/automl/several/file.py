"""Models of several targets as one file: a container whose members are the models' own files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from automl.artifact.container import FORMAT, MAX_BYTES, PRODUCER, pack, unpack
from automl.artifact.load import (
    PICKLE,
    check_format,
    make_model,
    parse_manifest,
    parse_model,
    unpack_model,
    unpickle_model,
)
from automl.artifact.place import read_bytes, write_bytes
from automl_core import DataError

if TYPE_CHECKING:
    from automl.several.model import MultiModel
    from automl_core import Plugins

__all__ = ["MOST", "dump_models", "load_model", "parse_models", "read_manifests", "save_models"]

MOST = 1000  # targets in one file; a container holds hardly more members


def load_model(
    path: str | os.PathLike[str], *, allow_pickle: bool = False, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> Any:
    """Load what `save` wrote: a `Model`, or a `MultiModel` where several targets were fitted.

    Needs no training library, and runs no code from the file.

    Args:
        path: any name will do; a URI is read by fsspec; `models:/NAME@ALIAS`, `models:/NAME/VERSION` and `runs:/RUN/PATH`
            come from the registry in the settings.
        allow_pickle: also unpickle members that have no safe form, and files that are pickles. A pickle can run any code:
            say so only of files from a source that you trust.
        key: a signature by it is required.
        max_bytes: how much memory the file may take.

    Raises:
        DataError: there is no such file, or it is damaged, hostile, of a newer format, or a pickle.
        PluginError: a member needs a plugin that is not installed.
    """
    name, data = os.fspath(path), read_bytes(path)
    if data[:1] == PICKLE:
        return unpickle_model(data, name, allow_pickle)
    manifest, members = unpack_model(data, name, key=key, max_bytes=max_bytes)
    if "targets" not in manifest:
        return make_model(manifest, members, name, allow_pickle)
    return _make(manifest, members, name, allow_pickle=allow_pickle, max_bytes=max_bytes)


def save_models(
    models: MultiModel, path: str | os.PathLike[str], *, key: bytes | None = None, plugins: Plugins | None = None
) -> None:
    """Write all models to one file, or to a URI, atomically; arguments as of `automl.artifact.save_model`."""
    write_bytes(path, dump_models(models, key=key), plugins=plugins)


def dump_models(models: MultiModel, *, key: bytes | None = None) -> bytes:
    """Return the bytes of the file; a key signs the manifest, and by its checksums every model.

    Raises:
        DataError: a model cannot be stored, or there are more than `MOST`.
    """
    from automl.artifact.save import dump_model, versions

    if len(models.models) > MOST:
        raise DataError(f"a file holds at most {MOST} targets, and these are {len(models.models)}: save some of them.")
    files = {f"members/{place}": dump_model(model) for place, model in enumerate(models.models.values())}
    manifest = {
        "producer": PRODUCER,
        "format": FORMAT,
        "created": str(models.info.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))),
        "versions": versions(),
        "targets": dict(zip(models.targets, files, strict=True)),
    }
    return pack(manifest, files, key=key)


def parse_models(
    data: bytes, name: str, *, allow_pickle: bool = False, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> MultiModel:
    """Return the models whose file has these bytes; `name` is for messages. See `load_model`."""
    manifest, members = unpack(data, name, key=key, max_bytes=max_bytes)
    return _make(manifest, members, name, allow_pickle=allow_pickle, max_bytes=max_bytes)


def read_manifests(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return by target what a file says about each model, without loading any; one target of an ordinary model.

    Raises:
        DataError: there is no such file, or it is damaged or of a newer format.
    """
    name, data = os.fspath(path), read_bytes(path)
    manifest = parse_manifest(data, name)
    if "targets" not in manifest:
        return {str(manifest["target"]): manifest}
    manifest, members = unpack(data, name)
    return {t: parse_manifest(members[file], _inner(name, t)) for t, file in _files(manifest, members, name).items()}


def _make(
    manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str, *, allow_pickle: bool, max_bytes: int
) -> MultiModel:
    from automl.several.model import MultiModel

    check_format(manifest, name)
    models = {}
    for target, file in _files(manifest, members, name).items():
        inner = _inner(name, target)
        model = parse_model(members[file], inner, allow_pickle=allow_pickle, max_bytes=max_bytes)
        if model.target != target:
            raise DataError(f"{inner} is damaged: it is a model of {model.target!r}. Save or copy it again.")
        models[target] = model
    return MultiModel(models, info={key: manifest.get(key) for key in ("format", "created", "versions")})


def _files(manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str) -> dict[str, str]:
    files = manifest.get("targets")
    if not isinstance(files, dict) or not files or any(file not in members for file in files.values()):
        raise DataError(f"{name} is damaged: its targets are not those of its members. Save or copy it again.")
    return {str(target): str(file) for target, file in files.items()}


def _inner(name: str, target: str) -> str:
    return f"{name} ({target!r})"
