"""From a file's members to a model."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact.arrays import ArrayReader
from automl.artifact.flats import derived_from_json, flat_from_json
from automl.encoder.encoder import Encoder
from automl.model import Model
from automl.predictor import Opaque, Part, Predictor
from automl.predictor.network import NetworkModel, network_from_arrays
from automl.report.evidence import Evidence
from automl.schema import Schema
from automl_core import REGRESSION, TASKS, DataError, Portable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["assemble"]


def assemble(manifest: Mapping[str, Any], members: Mapping[str, bytes], name: str, allow_pickle: bool) -> Model:
    """Return the model of an unpacked file of a known format; any error of `load.BROKEN` means that it is damaged."""
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
