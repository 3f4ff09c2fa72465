"""From predictions to monitors, on a thread of their own.

Per flush, and per model and version, monitors get one `Event("prediction", ...)` with the attributes

- `model`, `version`: names; `shadow`: whether the answers went to nobody;
- `requests`, `rows`: counts; `seconds`: one latency per request; `hits`: rows that came from a cache;
- `inputs`: values by column, of `sample_rows` rows a second at most; `predictions`: labels or numbers of the same rows;
  `probabilities`: their probabilities, and `certainties`: that of the label, or None for regression;

as soon as a model is in service, one `Event("model", ...)` with `model`, `version`, `metric`, `schema` (of its training
table, or None), `importances` (by column; empty where a member has none), `scores` of held-out rows by metric and their
`calibration` (`certainty` and `right` of each, of numbers their `error`, or None) and `predictions`, or None, and one `Event("retired", ...)` with `model`
and `version` when it leaves; and one `Event("failure", ...)` per model with `model` and `errors`, a count by kind of error.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from automl.service.ledger import Joined, Ledger, Prediction
from automl_core import BINARY, REGRESSION, AutoMLError, DataError, Event, Monitor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.encoder import Encoder
    from automl.model import Model
    from automl.service.answers import Answer
    from automl.service.served import Served

__all__ = ["EventPump"]

Answered: TypeAlias = "tuple[Served, int, int, float]"  # rows, those of them from a cache, and seconds

FLUSH = 0.1  # seconds between two flushes
PATIENCE = 30.0  # seconds that `close` waits for monitors that hang
log = logging.getLogger("automl.service")


@dataclass(slots=True, eq=False)  # frozen, it would cost each request a microsecond
class Seen:
    """A request whose rows are kept; `request` is the id under which its truth may come, `sampled`: monitors see them."""

    answer: Answer
    data: Any
    shadows: tuple[Served, ...] = ()
    request: str = ""
    sampled: bool = True


class EventPump:
    """Takes what was seen, and tells monitors; drops when it cannot keep up.

    All requests are counted, but of each model only `sample_rows` rows a second are kept for monitors: to list their values
    takes 2 microseconds each, and until then they take memory.

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
        self._answered: deque[Answered] = deque()
        self._rooms: dict[Served, float] = {}  # rows that may still be kept, where not as many as there are in a second
        self._failed: deque[tuple[str, str]] = deque(maxlen=limit)
        self._announced: dict[tuple[str, str, bytes], bool] = {}  # and whether it was among the models
        self._made_room = monotonic()
        self._stop = Flag()
        self._thread = Thread(target=self._work, name="automl-events", daemon=True)
        self._thread.start()

    def add(self, answer: Answer, data: Any, seconds: float, shadows: tuple[Served, ...], request: str) -> None:
        """Take one; costs an append or two."""
        if len(self._answered) >= self._limit:
            self._dropped(1)
            return
        served, rows = answer.served, len(answer.said)
        self._answered.append((served, rows, answer.hits, seconds))
        room = self._rooms.get(served, self._sample_rows)
        if room > 0:
            self._rooms[served] = room - min(rows, self._sample_rows)
        elif not shadows and (self._ledger is None or not request):
            return
        self._seen.append(Seen(answer, data, shadows, request, room > 0))

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
        groups: dict[Served, tuple[list[Answered], list[Seen]]] = defaultdict(lambda: ([], []))
        for _ in range(len(self._answered)):
            answered = self._answered.popleft()
            groups[answered[0]][0].append(answered)
        for one in seen:
            if one.sampled:
                groups[one.answer.served][1].append(one)
        for served, group in groups.items():
            self._tell("prediction", served, partial(describe, served, *group, self._sample_rows))
        self._make_room()
        for one in seen:
            for shadow in one.shadows:
                self._tell("prediction", shadow, partial(self._shadow, one, shadow))
        failed = Counter(self._failed.popleft() for _ in range(len(self._failed)))
        for model in sorted({model for model, _ in failed}):
            errors = {kind: count for (name, kind), count in failed.items() if name == model}
            self._emit(Event("failure", time(), {"model": model, "errors": errors}))
        if self._ledger is not None:
            self._keep(self._ledger, [one for one in seen if one.request])

    def _make_room(self) -> None:
        now = monotonic()
        more, self._made_room = self._sample_rows * (now - self._made_room), now
        rooms = list(self._rooms.items())  # at once, as others write to it
        self._rooms = {served: room + more for served, room in rooms if room + more < self._sample_rows}

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
        known = Seen(Answer(served, said), seen.data)
        return {**describe(served, [(served, len(said), 0, 0.0)], [known], self._sample_rows), "shadow": True}

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
    inputs = to_columns(one.data, served.model.encoder, one.answer.rows)
    return Prediction(one.request, served.name, served.version, time(), inputs, one.answer.labels.tolist())


def describe(served: Served, answered: Sequence[Answered], seen: Sequence[Seen], sample_rows: int) -> dict[str, Any]:
    """Return the attributes of an event about requests that one model answered; `seen` are those whose rows were kept."""
    model = served.model
    told: dict[str, Any] = {"predictions": [], "probabilities": None, "certainties": None}
    if seen:
        said = np.concatenate([one.answer.said for one in seen])[:sample_rows]
        told["predictions"] = model.decide(said).tolist()
        if model.task != REGRESSION:
            told |= {"probabilities": said.tolist(), "certainties": certainties(model, said).tolist()}
    return {
        "model": served.name,
        "version": served.version,
        "shadow": False,
        "requests": len(answered),
        "rows": sum(rows for _, rows, _, _ in answered),
        "seconds": [seconds for *_, seconds in answered],
        "hits": sum(hits for _, _, hits, _ in answered),
        "inputs": gather(seen, model.encoder, sample_rows),
        **told,
    }


def gather(taken: Sequence[Seen], encoder: Encoder, limit: int) -> dict[str, list[Any]]:
    """Return the values by column of the first rows of several requests, or of none."""
    if not taken or not limit:
        return {name: [] for name in encoder.names}
    # As nearly always; the other way makes columns of one value each.
    if all(is_row(one.data, encoder.names, one.answer.rows) for one in taken):
        return to_columns([one.data for one in taken[:limit]], encoder, len(taken))
    columns = [to_columns(one.data, encoder, one.answer.rows, limit) for one in taken]
    return {name: [v for part in columns for v in part[name]][:limit] for name in encoder.names}


def is_row(data: Any, names: Sequence[str], rows: int) -> bool:
    """Tell whether this is one row as a mapping of values, and not of columns."""
    return rows == 1 and isinstance(data, Mapping) and not isinstance(data.get(names[0]), list | np.ndarray)


def to_columns(data: Any, encoder: Encoder, rows: int, limit: int | None = None) -> dict[str, list[Any]]:
    """Return the values by column of whatever an encoder takes, of the first rows where there is a limit."""
    names = encoder.names
    if isinstance(data, np.ndarray) and data.dtype.names:
        data = {name: data[name] for name in data.dtype.names}
    if isinstance(data, Mapping):
        if is_row(data, names, rows):
            return {name: [data.get(name)] for name in names}
        missing = [None] * min(rows, limit or rows)
        return {name: _listed(data[name][:limit]) if name in data else missing for name in names}
    data = data[:limit]
    if isinstance(data, list | tuple) and isinstance(data[0], Mapping):
        return {name: [row.get(name) for row in data] for name in names}
    if isinstance(data, list | tuple | np.ndarray):
        given = encoder.names_of(len(data[0]))
        columns = dict(zip(given, zip(*_listed(data), strict=True), strict=True))
        return {name: list(columns[name]) for name in names}
    from automl.table import open_table

    table = open_table(data)
    present = set(table.column_names)
    return {name: table[name].to_pylist() if name in present else [None] * table.num_rows for name in names}


def _listed(values: Any) -> list[Any]:
    listed: list[Any] = values.tolist() if hasattr(values, "tolist") else list(values)
    return listed
