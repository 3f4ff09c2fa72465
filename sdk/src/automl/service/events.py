"""From predictions to monitors, on a thread of their own.

Per flush, and per model and version, monitors get one `Event("prediction", ...)` with the attributes

- `model`, `version`: names; `shadow`: whether the answers went to nobody;
- `requests`, `rows`: counts; `seconds`: one latency per request; `hits`: rows that came from a cache;
- `inputs`: values by column, at most `sample_rows` rows; `predictions`: labels or numbers of the same rows;
  `probabilities`: their probabilities, and `certainties`: that of the label, or None for regression;

as soon as a model is in service, one `Event("model", ...)` with `model`, `version`, `metric`, `schema` (of its training
table, or None), `importances` (by column; empty where a member has none), `scores` of held-out rows by metric and their
`calibration` (`certainty` and `right` of each, of numbers their `error`, or None) and `predictions`, or None, and one `Event("retired", ...)` with `model`
and `version` when it leaves; and one `Event("failure", ...)` per model with `model` and `errors`, a count by kind of error.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from time import time
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.service.ledger import Joined, Ledger, Prediction
from automl_core import BINARY, REGRESSION, AutoMLError, DataError, Event, Monitor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model
    from automl.service.answers import Answer
    from automl.service.served import Served

__all__ = ["EventPump", "Seen"]

FLUSH = 0.1  # seconds between two flushes
PATIENCE = 30.0  # seconds that `close` waits for monitors that hang
log = logging.getLogger("automl.service")


@dataclass(slots=True, eq=False)  # frozen, it would cost each request a microsecond
class Seen:
    """One answered request; `request` is the id under which its truth may come."""

    answer: Answer
    data: Any
    seconds: float
    shadows: tuple[Served, ...] = ()
    request: str = ""


class EventPump:
    """Takes what was seen, and tells monitors; drops when it cannot keep up.

    Args:
        dropped: is told how many were dropped.
        ledger: keeps predictions until their truth comes.
        models: returns what is in service: monitors are told of a version before its first request, as a scrape may come
            to a worker that answers none, and when it leaves.
    """

    def __init__(
        self,
        monitors: Sequence[Monitor],
        *,
        limit: int,
        sample_rows: int,
        dropped: Callable[[int], None],
        ledger: Ledger | None = None,
        models: Callable[[], Sequence[Served]] = list,
    ) -> None:
        self._monitors, self._limit, self._sample_rows, self._dropped = tuple(monitors), limit, sample_rows, dropped
        self._ledger, self._models = ledger, models
        self._seen: deque[Seen] = deque()
        self._failed: deque[tuple[str, str]] = deque(maxlen=limit)
        self._announced: dict[tuple[str, str, bytes], bool] = {}  # and whether it was among the models
        self._stop = Flag()
        self._thread = Thread(target=self._work, name="automl-events", daemon=True)
        self._thread.start()

    def add(self, seen: Seen) -> None:
        """Take one; costs an append."""
        if len(self._seen) < self._limit:
            self._seen.append(seen)
        else:
            self._dropped(1)

    def fail(self, model: str, kind: str) -> None:
        self._failed.append((model, kind))

    def join(self, joined: Sequence[Joined]) -> None:
        """Tell monitors of predictions whose truth is known now."""
        groups: dict[tuple[str, str], list[Joined]] = {}
        for one in joined:
            groups.setdefault((one.model, one.version), []).append(one)
        for (model, version), group in groups.items():
            told = {
                "model": model,
                "version": version,
                "predictions": [value for one in group for value in one.predictions],
                "truths": [value for one in group for value in one.truths],
                "ages": [one.age for one in group],
            }
            self._emit(Event("label", time(), told))

    def close(self) -> None:
        """Tell what is left, then end."""
        self._stop.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while not self._stop.wait(FLUSH):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        self._follow(self._models())
        seen = [self._seen.popleft() for _ in range(len(self._seen))]
        groups: dict[int, list[Seen]] = {}
        for one in seen:
            groups.setdefault(id(one.answer.served), []).append(one)
        for group in groups.values():
            self._tell("prediction", group[0].answer.served, lambda g=group: describe(g, self._sample_rows))  # type: ignore[misc]
        for one in seen:
            for shadow in one.shadows:
                self._tell("prediction", shadow, lambda o=one, s=shadow: self._shadow(o, s))  # type: ignore[misc]
        failed = Counter(self._failed.popleft() for _ in range(len(self._failed)))
        for model in sorted({model for model, _ in failed}):
            errors = {kind: count for (name, kind), count in failed.items() if name == model}
            self._emit(Event("failure", time(), {"model": model, "errors": errors}))
        if self._ledger is not None:
            self._keep(self._ledger, [one for one in seen if one.request])

    def _keep(self, ledger: Ledger, seen: Sequence[Seen]) -> None:
        """Write predictions down, and join the labels that were faster."""
        try:
            if seen:
                ledger.record([remember(one) for one in seen])
            self.join(ledger.settle())
        except AutoMLError as error:
            self._dropped(len(seen))
            log.warning("predictions are not kept for their labels: %s", error)
        except Exception:
            self._dropped(len(seen))
            log.exception("predictions cannot be kept for their labels")

    def _shadow(self, seen: Seen, served: Served) -> dict[str, Any]:
        from automl.service.answers import Answer

        said = served.model.predictor.predict(served.model.encoder.encode(seen.data))
        return {**describe([Seen(Answer(served, said), seen.data, 0.0)], self._sample_rows), "shadow": True}

    def _tell(self, name: str, served: Served, attributes: Callable[[], Mapping[str, Any]]) -> None:
        self._announce(served, listed=False)
        self._emit_about(served, name, attributes)

    def _follow(self, models: Sequence[Served]) -> None:
        """Tell of versions that came into service, and of those that left it."""
        for served in models:
            self._announce(served, listed=True)
        now = {(served.name, served.version, served.token) for served in models}
        for identity in [known for known, listed in self._announced.items() if listed and known not in now]:
            del self._announced[identity]
            self._emit(Event("retired", time(), {"model": identity[0], "version": identity[1]}))

    def _announce(self, served: Served, *, listed: bool) -> None:
        identity = (served.name, served.version, served.token)
        if identity not in self._announced:
            self._emit_about(served, "model", lambda: announce(served))
        self._announced[identity] = listed or self._announced.get(identity, False)

    def _emit_about(self, served: Served, name: str, attributes: Callable[[], Mapping[str, Any]]) -> None:
        try:
            event = Event(name, time(), attributes())
        except Exception:
            # Data that only a shadow cannot take must not end the thread.
            log.exception("what %s@%s predicted cannot be told", served.name, served.version)
        else:
            self._emit(event)

    def _emit(self, event: Event) -> None:
        for monitor in self._monitors:
            try:
                monitor.emit(event)
            except Exception:
                log.exception("%s failed with the event %r", type(monitor).__name__, event.name)


def announce(served: Served) -> dict[str, Any]:
    """Return the attributes of an event about a model that answers its first requests."""
    model = served.model
    try:
        importances = model.feature_importance()
    except DataError:
        importances = {}
    return {
        "model": served.name,
        "version": served.version,
        "metric": model.metric,
        "scores": held_out_score(model),
        "calibration": held_out_calibration(model),
        "predictions": held_out_predictions(model),
        "schema": None if model.schema is None else model.schema.to_json(),
        "importances": importances,
    }


def held_out_score(model: Model) -> dict[str, float]:
    """Return accuracy or RMSE on rows that the model had not seen in its fit; empty where those are not known."""
    evidence = model.evidence
    if evidence is None or not len(evidence.rows):
        return {}
    if model.task == REGRESSION:
        return {"rmse": float(np.sqrt(np.mean((evidence.target - evidence.prediction) ** 2)))}
    said = model.decide(evidence.prediction.astype(np.float64))
    truth = model.classes_[evidence.target.astype(np.intp)]
    return {"accuracy": float(np.mean(said == truth))}


def held_out_calibration(model: Model) -> dict[str, list[Any]] | None:
    """Return how certain the model was of rows that it had not seen in its fit, and whether it was right.

    Of numbers, return truth less prediction, in the order of `held_out_predictions`.
    """
    evidence = model.evidence
    if evidence is None or not len(evidence.rows):
        return None
    said = evidence.prediction.astype(np.float64)
    if model.task == REGRESSION:
        return {"error": (evidence.target - said).tolist()}
    truth = model.classes_[evidence.target.astype(np.intp)]
    return {"certainty": certainties(model, said).tolist(), "right": (model.decide(said) == truth).tolist()}


def held_out_predictions(model: Model) -> list[Any] | None:
    """Return what the model said of rows that it had not seen in its fit."""
    evidence = model.evidence
    if evidence is None or not len(evidence.rows):
        return None
    said: list[Any] = model.decide(evidence.prediction.astype(np.float64)).tolist()
    return said


def certainties(model: Model, said: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of the label that is said, of probabilities (rows, classes)."""
    if model.task == BINARY:
        return np.where(said[:, 1] >= model.threshold, said[:, 1], said[:, 0])
    return np.asarray(said.max(axis=1))


def remember(one: Seen) -> Prediction:
    """Return what the ledger keeps of a request."""
    served = one.answer.served
    inputs = to_columns(one.data, served.model.names, one.answer.rows)
    return Prediction(one.request, served.name, served.version, time(), inputs, one.answer.labels.tolist())


def describe(group: Sequence[Seen], sample_rows: int) -> dict[str, Any]:
    """Return the attributes of an event about requests that one model answered."""
    served = group[0].answer.served
    taken, rows = [], 0
    for one in group:
        if rows >= sample_rows:
            break
        taken.append(one)
        rows += one.answer.rows
    said = np.concatenate([one.answer.said for one in taken])[:sample_rows] if taken else None
    inputs = gather(taken, served.model.names, sample_rows)
    return {
        "model": served.name,
        "version": served.version,
        "shadow": False,
        "requests": len(group),
        "rows": sum(one.answer.rows for one in group),
        "seconds": [one.seconds for one in group],
        "hits": sum(one.answer.hits for one in group),
        "inputs": inputs,
        "predictions": [] if said is None else served.model.decide(said).tolist(),
        "probabilities": None if said is None or served.model.task == REGRESSION else said.tolist(),
        "certainties": None
        if said is None or served.model.task == REGRESSION
        else certainties(served.model, said).tolist(),
    }


def gather(taken: Sequence[Seen], names: Sequence[str], limit: int) -> dict[str, list[Any]]:
    """Return the values by column of the first rows of several requests."""
    if all(is_row(one.data, names, one.answer.rows) for one in taken):  # as nearly always: no columns of one value each
        return to_columns([one.data for one in taken[:limit]], names, len(taken))
    columns = [to_columns(one.data, names, one.answer.rows) for one in taken]
    return {name: [v for part in columns for v in part[name]][:limit] for name in names}


def is_row(data: Any, names: Sequence[str], rows: int) -> bool:
    """Tell whether this is one row as a mapping of values, and not of columns."""
    return rows == 1 and isinstance(data, Mapping) and not isinstance(data.get(names[0]), list | np.ndarray)


def to_columns(data: Any, names: Sequence[str], rows: int) -> dict[str, list[Any]]:
    """Return the values by column of whatever an encoder takes."""
    if isinstance(data, Mapping):
        if is_row(data, names, rows):
            return {name: [data.get(name)] for name in names}
        return {name: _listed(data[name]) if name in data else [None] * rows for name in names}
    if isinstance(data, list | tuple):
        return {name: [row.get(name) for row in data] for name in names}
    if isinstance(data, np.ndarray):
        return {name: data[:, place].tolist() for place, name in enumerate(names)}
    present = set(data.column_names)  # an Arrow table
    return {name: data[name].to_pylist() if name in present else [None] * rows for name in names}


def _listed(values: Any) -> list[Any]:
    listed: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return listed
