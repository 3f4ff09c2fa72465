"""From a model to its file."""

from __future__ import annotations

import os
import pickle
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

import automl_core
from automl.artifact.arrays import ArrayWriter
from automl.artifact.container import FORMAT, PRODUCER, pack
from automl.artifact.flats import derived_to_json, flat_to_json
from automl.artifact.place import write_bytes
from automl.predictor.network import NetworkModel, network_to_arrays
from automl_core import DataError, Portable

if TYPE_CHECKING:
    from automl.model import Model
    from automl.predictor import Opaque
    from automl_core import Plugins

__all__ = ["dump_model", "plain", "save_model", "versions"]


def save_model(
    model: Model, path: str | os.PathLike[str], *, key: bytes | None = None, plugins: Plugins | None = None
) -> None:
    """Write a model to one file, or to a URI, atomically.

    Args:
        key: signs the file; `load_model` with the same key refuses any other.
        plugins: whose settings reach the cloud of a URI; None reads them from the environment and `automl.toml`.

    Raises:
        DataError: it cannot be written.
        ComponentUnavailable: the cloud of the URI does not answer, or refuses.
    """
    write_bytes(path, dump_model(model, key=key), plugins=plugins)


def dump_model(model: Model, *, key: bytes | None = None) -> bytes:
    """Return the bytes of a model's file, the same each time; `created` is when there were any first."""
    writer = ArrayWriter()
    members: dict[str, bytes] = {}
    predictor = model.predictor
    state, arrays = model.encoder.state()
    manifest = {
        "producer": PRODUCER,
        "format": FORMAT,
        "created": str(model.info.setdefault("created", datetime.now(UTC).isoformat(timespec="seconds"))),
        "versions": versions(),
        "task": model.task,
        "target": model.target,
        "classes": [_label(label) for label in model.classes_],
        "metric": model.metric,
        "threshold": float(model.threshold),
        "temperature": predictor.temperature,
        "columns": predictor.columns,
        "schema": plain(model.schema.to_json()) if model.schema is not None else None,
        "encoder": {"state": state, "arrays": {name: writer.add(array) for name, array in arrays.items()}},
        "parts": [{"weight": part.weight, **flat_to_json(part.flat, writer)} for part in predictor.parts],
        "opaque": [_opaque(i, member, writer, members) for i, member in enumerate(predictor.opaque)],
        "importance": model.feature_importance(),
        "leaderboard": plain([dict(row) for row in model.leaderboard()]),
        "info": plain(model.info),
        "evidence": model.evidence.to_json(writer) if model.evidence is not None else None,
        "arrays": writer.table,
    }
    return pack(manifest, {"arrays.bin": writer.data(), **members}, key=key)


def plain(value: Any) -> Any:
    """Return what JSON can hold: numbers that are not finite become None, unknown objects their text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple | set | frozenset):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _label(label: Any) -> str | int | float | bool:
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, str | int | float | bool):
        raise DataError(f"the class {value!r} is a {type(value).__name__}; only text and numbers can be stored.")
    return value


def _opaque(number: int, member: Opaque, writer: ArrayWriter, members: dict[str, bytes]) -> dict[str, Any]:
    body = {
        "name": member.name,
        "weight": member.weight,
        "keep": writer.add(member.keep),
        "derived": [derived_to_json(item, writer) for item in member.derived],
    }
    if isinstance(member.model, NetworkModel):
        head, arrays = network_to_arrays(member.model.network)
        return body | {"form": "network", **head, "arrays": {name: writer.add(array) for name, array in arrays.items()}}
    file, learner = f"members/{number}", member.learner
    if learner is not None and isinstance(learner, Portable):
        form, members[file] = "portable", learner.dump(member.model)
    else:
        form, members[file] = "pickle", _pickled(member)
    return body | {"form": form, "member": file}


def _pickled(member: Opaque) -> bytes:
    try:
        return pickle.dumps(member.model)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise DataError(
            f"a model of the learner {member.name!r} cannot be stored: {error}. Leave the learner out, or give it dump and "
            "load (automl_core.Portable), or its models export (automl_core.Exports)."
        ) from error


def versions() -> dict[str, str]:
    """Return the versions of what writes a file."""
    import automl

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "automl-core": automl_core.__version__,
        "automl-sdk": automl.__version__,
    }
