"""From a file to a model."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact.arrays import ArrayReader
from automl.artifact.container import MAX_BYTES, unpack, unpack_manifest
from automl.artifact.flats import derived_from_json, flat_from_json
from automl.artifact.place import read_bytes
from automl.artifact.save import FORMAT, PRODUCER
from automl.encoder.encoder import Encoder
from automl.model import Model
from automl.predictor import Opaque, Part, Predictor
from automl.predictor.network import NetworkModel, network_from_arrays
from automl.report.evidence import Evidence
from automl.schema import Schema
from automl_core import REGRESSION, TASKS, DataError, Portable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "PICKLE", "check_format", "load_model", "make_model", "parse_manifest", "parse_model", "read_manifest", "unpickle_model",
]  # fmt: skip

PICKLE = b"\x80"
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
    manifest, members = unpack(data, name, key=key, max_bytes=max_bytes)
    return make_model(manifest, members, name, allow_pickle)


def make_model(manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str, allow_pickle: bool) -> Model:
    """Return the model of an unpacked file."""
    check_format(manifest, name)
    _check_single(manifest, name)
    try:
        return _make(manifest, members, name, allow_pickle)
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


def _make(manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str, allow_pickle: bool) -> Model:
    reader = ArrayReader(manifest["arrays"], members["arrays.bin"])
    task, classes = str(manifest["task"]), _classes(manifest["classes"])
    if task not in TASKS or (task == REGRESSION) != (len(classes) == 0):
        raise DataError(f"{name} is damaged: the task {task!r} with {len(classes)} classes.")
    state = manifest["encoder"]
    encoder = Encoder.from_state(state["state"], {str(n): reader.get(i) for n, i in state["arrays"].items()})
    if manifest["columns"] != len(encoder.columns):
        raise DataError(f"{name} is damaged: its encoder makes {len(encoder.columns)} columns.")
    predictor = Predictor(
        [Part(flat_from_json(part, reader), float(part["weight"])) for part in manifest["parts"]],
        [_opaque(member, members, reader, name, allow_pickle) for member in manifest["opaque"]],
        classes=len(classes),
        temperature=float(manifest["temperature"]),
        columns=len(encoder.columns),
    )
    return Model(
        encoder,
        predictor,
        task=task,
        schema=None if manifest["schema"] is None else Schema.from_json(manifest["schema"]),
        classes=classes,
        target=str(manifest["target"]),
        metric=str(manifest["metric"]),
        threshold=float(manifest["threshold"]),
        leaderboard=[dict(row) for row in manifest["leaderboard"]],
        info={**manifest["info"], **{key: manifest[key] for key in ("format", "created", "versions")}},
        evidence=None
        if (told := manifest.get("evidence")) is None
        else Evidence.from_json(told, reader, classes=len(classes)),
        importance={str(column): float(share) for column, share in manifest["importance"].items()},
    )


def _classes(labels: Any) -> list[str | int | float | bool]:
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float | bool) for label in labels):
        raise TypeError("classes are not text or numbers")
    return labels


def _opaque(
    body: Mapping[str, Any], members: Mapping[str, bytes], reader: ArrayReader, name: str, allow_pickle: bool
) -> Opaque:
    learner, keep = None, reader.get(body["keep"])
    if keep.dtype != np.int32 or keep.ndim != 1:
        raise TypeError("keep is no list of columns")
    derived = tuple(derived_from_json(item, reader) for item in body["derived"])
    if body["form"] == "network":
        arrays = {str(key): reader.get(number) for key, number in body["arrays"].items()}
        model: Any = NetworkModel(network_from_arrays(body, arrays, columns=len(keep) + len(derived)))
    elif body["form"] == "portable":
        learner = _learner(str(body["name"]))
        model = learner.load(members[body["member"]])
    elif not allow_pickle:
        raise DataError(
            f"{name} holds a pickled member of the learner {body['name']!r}, and a pickle can run any code. Where you trust "
            "the file, load it with allow_pickle=True."
        )
    else:
        model = pickle.loads(members[body["member"]])  # noqa: S301 - the caller said so
    return Opaque(str(body["name"]), learner, model, keep, derived, float(body["weight"]))


def _learner(name: str) -> Any:
    from automl_core import Plugins
    from automl_core.settings import load_settings

    learner = Plugins(load_settings()).build("learner", name)
    if not isinstance(learner, Portable):
        raise DataError(f"the learner {name!r} as installed here cannot load models: upgrade its plugin.")
    return learner


def unpickle_model(data: bytes, name: str, allow_pickle: bool) -> Model:
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
