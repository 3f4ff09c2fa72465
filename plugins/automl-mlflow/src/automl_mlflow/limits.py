"""What MLflow takes: names, lengths and numbers of entries (mlflow/utils/validation.py), and text of any database behind it."""

from __future__ import annotations

import logging
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl_mlflow.curves import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["DATASET", "NAME", "log_all", "log_points", "milliseconds", "to_tags", "to_text"]

NAME, DATASET = 250, 500
KEY, PARAM, TAG, BATCH, METRICS = 250, 6000, 8000, 100, 1000
log = logging.getLogger("automl.mlflow")


def log_all(
    client: MlflowClient,
    run: str,
    *,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float | None] | None = None,
    points: Sequence[Point] = (),
    tags: Mapping[str, Any] | None = None,
    time: float,
    step: int = 0,
) -> None:
    """Log as many requests as it takes, names and values cut; a tag names the metrics that are not finite.

    Args:
        points: values of metrics at steps of their own.
        time: in seconds since the epoch.
    """
    from mlflow.entities import Param, RunTag

    given = metrics or {}
    finite = [Point(name, float(v), time, step) for name, v in given.items() if v is not None and math.isfinite(v)]
    numbers = _metrics([*finite, *points])
    odd = sorted(f"{k}={v}" for k, v in given.items() if v is not None and not math.isfinite(v))
    words = {(key := _key(name)): Param(key, to_text(value, PARAM)) for name, value in (params or {}).items()}
    marks = to_tags({**(tags or {}), **({"automl.not_finite": ", ".join(odd)} if odd else {})})
    settings, labels = list(words.values()), [RunTag(name, value) for name, value in marks.items()]
    for start in range(0, max(len(numbers), len(settings), len(labels)), BATCH):
        part = slice(start, start + BATCH)
        client.log_batch(run, metrics=numbers[part], params=settings[part], tags=labels[part])


def log_points(client: MlflowClient, run: str, points: Sequence[Point]) -> None:
    """Log values of metrics at steps of their own, as many in one request as it takes."""
    found = _metrics(points)
    for start in range(0, len(found), METRICS):
        client.log_batch(run, metrics=found[start : start + METRICS])


def _metrics(points: Iterable[Point]) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(_key(one.name), one.value, milliseconds(one.time), one.step) for one in points]


def to_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags within the limits; those that are None are left out."""
    return {_key(name): to_text(value, TAG) for name, value in tags.items() if value is not None}


def to_text(value: Any, length: int) -> str:
    """Return text, cut, that any database takes: PostgreSQL has no NUL, and none half a surrogate pair."""
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:length]


def milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _key(name: str) -> str:
    """Return a name of letters, digits and a few signs that is no path which leads elsewhere."""
    key = re.sub(r"[^\w./ :-]", "_", name)[:KEY]
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        key = re.sub(r"[/.]", "_", key) or "_"
    return key
