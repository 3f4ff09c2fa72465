"""Records that cross process borders: frozen, plain data, encoded as versioned JSON lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from automl_core.space import Scalar

__all__ = ["Event", "Fold", "Study", "Trial", "TrialState", "decode", "encode"]

FORMAT = 1


class TrialState(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Study:
    """One search for the best model of one table.

    `id` is a function of the data, the task and the settings that shape the result, so that the same
    command finds its journal again. `time_limit` is in seconds, None without one.
    """

    id: str
    task: str
    metric: str
    rows: int
    columns: int
    seed: int
    folds: int
    target: str = "target"
    classes: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    time_limit: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fold:
    """One fitted fold of a trial.

    `loss` is what the study minimises, None where the fold alone has none; `seconds` is wall clock of the fit;
    `key` identifies learner, parameters and columns, whatever the trial's number; `elapsed` is seconds since the
    study started, those of earlier runs of the same study included.
    """

    trial: int
    fold: int
    loss: float | None
    seconds: float
    rounds: int | None = None
    key: str = ""
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration of one learner.

    `loss` is minimised, whatever the metric's own direction; None when there is none (running, failed).
    `seconds` is wall clock over all folds. `origin` says who proposed it: "portfolio" or "search". `fold_losses` holds
    the loss of each fold alone, by its number: None where it has none, empty where it is not known.
    """

    id: int
    learner: str
    params: Mapping[str, Scalar]
    seed: int = 0
    state: TrialState = TrialState.RUNNING
    loss: float | None = None
    seconds: float = 0.0
    rounds: int | None = None
    error: str | None = None
    origin: str = "search"
    metrics: Mapping[str, float] = field(default_factory=dict)
    fold_losses: tuple[float | None, ...] = ()

    def with_result(self, state: TrialState, **changes: Any) -> Trial:
        return replace(self, state=state, **changes)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a monitor may want to know. `time` is seconds since the epoch."""

    name: str
    time: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


_RECORDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Event, Fold, Study, Trial)}


def encode(record: Study | Trial | Fold | Event) -> bytes:
    """Encode a record as one line of UTF-8 JSON; numbers that are not finite become null."""
    body = {
        "v": FORMAT,
        "record": type(record).__name__,
        **_plain({f.name: getattr(record, f.name) for f in fields(record)}),
    }
    return json.dumps(body, separators=(",", ":"), allow_nan=False, default=str).encode()


def decode(line: bytes) -> Study | Trial | Fold | Event:
    """Decode what `encode` wrote; fields of a newer minor version are ignored.

    Raises:
        ValueError: the line is cut, is no record, or was written by a newer format.
    """
    body = json.loads(line)
    if not isinstance(body, dict) or body.get("record") not in _RECORDS:
        raise ValueError("not a record")
    if body.get("v", 0) > FORMAT:
        raise ValueError(f"record format {body['v']} is newer than {FORMAT}; upgrade automl-core")
    kind = _RECORDS[body["record"]]
    known = {f.name: body[f.name] for f in fields(kind) if f.name in body}
    if kind is Trial:
        known["state"], known["fold_losses"] = TrialState(known["state"]), tuple(known.get("fold_losses", ()))
    if kind is Study:
        known["classes"], known["learners"] = tuple(known["classes"]), tuple(known["learners"])
    record: Study | Trial | Fold | Event = kind(**known)
    return record


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
