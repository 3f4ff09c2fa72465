"""The monitor `drift`: events in, verdicts and alerts out, all of it off the caller's path."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from typing import Any

from automl_core import Event, Monitor
from automl_core.errors import AutoMLError, DataError
from automl_drift.exchange import Exchange, dropped_by_all, write_dropped
from automl_drift.expected import CERTAINTY, Expected
from automl_drift.performance import METRICS
from automl_drift.profile import profiles_of_schema
from automl_drift.said import PREDICTION, Said
from automl_drift.scored import Scored
from automl_drift.watch import Report
from automl_drift.watched import Watched

__all__ = ["PREDICTION", "DriftMonitor"]

MOST_VERSIONS = 16  # the oldest are forgotten
DROPPED = "automl_drift_dropped_events_total"
PATIENCE = 30.0  # seconds that `close` waits for what is due
log = logging.getLogger("automl.drift")


class DriftMonitor(Monitor):
    """Watches the inputs and predictions of served models.

    Events, all attributes but `model` optional:

    - "model": `model`, `version`, `schema` (`Schema.to_json`), `importances` (by column), `predictions` (of held-out
      rows; see `Said`), `scores` (of held-out rows: accuracy, mae or rmse), `calibration` (of held-out rows, `certainty`: the probability
      of the class that is said, and `right`: whether it was true; or `error`: truth less the number in `predictions`): the reference. Each version is watched on its own;
      the same again changes nothing.
    - "prediction": `model`, `version`, `inputs` (a sequence per column), `predictions` and `certainties` of the same rows.
    - "retired": `model`, `version`: it left service; what was learned of it is forgotten.
    - "label": `model`, `version`, `predictions`, and `truths` of the same rows.

    What else arrives is left out. Events are dropped, and counted, when `queue` of them wait, when they name a model
    that was not announced, and when they cannot be read.

    Attributes:
        on_event: called from the monitor's thread with Event "drift" when a model begins to drift and "drift_ended" when
            it is over, "degradation" when labels show that it does worse than allowed, "score" when labels came.
    """

    def __init__(
        self,
        *,
        run_length: int = 1_000_000,
        window: int = 10_000,
        block: int = 100,
        tolerance: float = 0.04,
        score_tolerance: float = 0.05,
        score_run_length: int = 100_000,
        interval: float = 1.0,
        repeat: float = 3600.0,
        queue: int = 10_000,
        directory: str = "",
    ) -> None:
        self._watching = {"run_length": run_length, "window": window, "block": block, "tolerance": tolerance}
        self._scoring = {"tolerance": score_tolerance, "run_length": score_run_length}
        self._directory = Path(directory) if directory else None
        self._interval, self._limit = interval, queue
        self._queue: deque[Event] = deque()
        self._models: dict[tuple[str, str], Watched] = {}
        self._lock = Lock()
        self._stop = Signal()
        self._takes = {
            "model": self._announce,
            "prediction": self._predict,
            "label": self._label,
            "retired": self._retire,
        }
        self.dropped = self._told_dropped = 0
        self.on_event: Callable[[Event], None] | None = None
        self.repeat = repeat
        self._told: dict[tuple[str, str, str], float] = {}
        self._thread = Thread(target=self._work, name="automl-drift", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        if self._stop.is_set() or len(self._queue) >= self._limit:
            self.dropped += 1
        else:
            self._queue.append(event)

    def reports(self) -> dict[tuple[str, str], Report]:
        """Return what is known of inputs by model and version, of those that this worker leads."""
        with self._lock:
            found = {key: model.report for key, model in self._models.items() if model.leading}
        return {key: report for key, report in found.items() if report is not None}

    def scores(self) -> dict[tuple[str, str], Scored]:
        """Return what labels say by model and version, of those that this worker leads."""
        with self._lock:
            found = {key: model.scored for key, model in self._models.items() if model.leading}
        return {key: scored for key, scored in found.items() if scored is not None}

    def summary(self) -> list[dict[str, Any]]:
        """Return what is known of each version, as plain data; the same from every worker of one directory."""
        with self._lock:
            found = [model.summary() for _, model in sorted(self._models.items())]
        return [told for told in found if told]

    def expose(self) -> tuple[str, bytes]:
        """Return metrics in Prometheus's text format; the same from every worker of one directory."""
        with self._lock:
            parts = [model.text() for _, model in sorted(self._models.items())]
        lines = _grouped([line for part in parts for line in part.splitlines()])
        dropped = self.dropped if self._directory is None else dropped_by_all(self._directory)
        if lines or dropped:
            lines += [f"# HELP {DROPPED} Events that could not be read, or came too fast.", f"# TYPE {DROPPED} counter"]
            lines.append(f"{DROPPED} {dropped}")
        body = "\n".join(lines)
        return "text/plain; version=0.0.4; charset=utf-8", f"{body}\n".encode() if body else b""

    def flush(self) -> None:
        """Work off what waits, now and in the calling thread."""
        with self._lock:
            while self._queue:
                self._take(self._queue.popleft())
            found = []
            for key, model in self._models.items():
                labelled = False
                try:
                    labelled = model.look()
                except (AutoMLError, OSError, ValueError) as error:
                    log.warning("drift of model %r cannot be brought up to date: %s", model.name, error)
                found += self._changes(key, model, labelled)
            self._tell_dropped()
        for event in found:
            self._tell(event)

    def _tell_dropped(self) -> None:
        if self._directory is None or self.dropped == self._told_dropped:
            return
        try:
            write_dropped(self._directory, self.dropped)
        except OSError as error:
            log.warning("%d dropped events cannot be told of: %s", self.dropped, error)
        else:
            self._told_dropped = self.dropped

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(PATIENCE)
        for model in self._models.values():
            model.close()

    def _work(self) -> None:
        while not self._stop.wait(self._interval):
            self.flush()
        self.flush()

    def _take(self, event: Event) -> None:
        take = self._takes.get(event.name)
        if take is None:
            return
        try:
            take(event.attributes)
        except Exception as error:  # noqa: BLE001 - an event of any shape must not end the thread
            self.dropped += 1
            log.debug("an event %r was dropped: %r", event.name, error)

    def _announce(self, told: Mapping[str, Any]) -> None:
        name, version = str(told["model"]), str(told.get("version", ""))
        profiles = profiles_of_schema(told["schema"], told.get("importances")) if told.get("schema") else []
        watching = dict(self._watching)
        said = None
        if told.get("predictions") is not None:
            watching["run_length"] *= 2  # shared by the watches of inputs and of predictions
            said = Said(told["predictions"], watching)
        exchange, expected = None, _expected(told, window=int(self._watching["window"]))
        scores = {metric: float(value) for metric, value in (told.get("scores") or {}).items() if metric in METRICS}
        if self._directory is not None:
            keys = [p.key for p in profiles] + [part.profile.key for part in (expected, said) if part is not None]
            state = blake2b("".join(keys).encode() + repr(sorted(scores.items())).encode())
            exchange = Exchange(self._directory, f"{name}-{version}-{state.hexdigest()[:40]}")
        kept: dict[str, Any] = {"watching": watching, "scoring": self._scoring, "expected": expected, "said": said}
        try:
            new = Watched(name, version, profiles, scores, exchange, **kept)
        except DataError as error:
            log.warning("the score of model %r cannot be watched: %s", name, error)
            new = Watched(name, version, profiles, {}, exchange, **kept)
        old = self._models.get((name, version))
        if old is not None:
            if old.key == new.key:
                return
            self._forget((name, version))
        self._models[name, version] = new
        if len(self._models) > MOST_VERSIONS:
            self._forget(next(iter(self._models)))

    def _forget(self, key: tuple[str, str]) -> None:
        self._models.pop(key).close()
        self._told = {told: moment for told, moment in self._told.items() if told[:2] != key}

    def _retire(self, told: Mapping[str, Any]) -> None:
        key = str(told["model"]), str(told.get("version", ""))
        exchange = self._models[key].exchange
        if exchange is not None:
            exchange.clear()
        self._forget(key)

    def _label(self, told: Mapping[str, Any]) -> None:
        self._models[str(told["model"]), str(told.get("version", ""))].label(told["predictions"], told["truths"])

    def _predict(self, told: Mapping[str, Any]) -> None:
        columns = dict(told.get("inputs") or {})
        if told.get("certainties") is not None:
            columns[CERTAINTY] = told["certainties"]
        if told.get("predictions") is not None:
            columns[PREDICTION] = told["predictions"]
        rows = max((len(values) for values in columns.values()), default=0)
        if rows:
            self._models[str(told["model"]), str(told.get("version", ""))].take(columns, rows)

    def _changes(self, key: tuple[str, str], model: Watched, labelled: bool) -> list[Event]:
        """Return what is news of a model; an alert again every `repeat` seconds while its cause lasts."""
        own = {"model": model.name, "version": model.version}
        found = []
        if not model.drifts and (*key, "drift") in self._told:
            found.append(Event("drift_ended", time.time(), own))
        if self._due((*key, "drift"), model.drifts):
            found.append(_drift_event(own, model.report))
        scored = model.scored if labelled else None
        if scored is not None:
            told = {**own, "metric": scored.metric, "value": scored.score, "rows": scored.rows}
            found.append(Event("score", time.time(), told))
        if self._due((*key, "degradation"), model.degraded) and (scored := model.scored) is not None:
            found.append(Event("degradation", time.time(), {**own, **scored.to_json()}))
        return found

    def _due(self, alert: tuple[str, str, str], holds: bool) -> bool:
        """Return whether an alert is to be told now."""
        if not holds:
            self._told.pop(alert, None)
            return False
        now = time.monotonic()
        if now - self._told.get(alert, -math.inf) < self.repeat:
            return False
        self._told[alert] = now
        return True

    def _tell(self, event: Event) -> None:
        told = event.attributes
        if event.name == "drift":
            log.warning("model %r drifts: %s", told["model"], ", ".join(told["drifted"]))
        elif event.name == "degradation":
            log.warning(
                "model %r does worse: %s %.4g instead of %.4g",
                told["model"],
                told["metric"],
                told["score"],
                told["baseline"],
            )
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception:
                log.exception("who listens to the drift monitor failed")


def _expected(told: Mapping[str, Any], *, window: int) -> Expected | None:
    calibration = told.get("calibration")
    if not calibration:
        return None
    if "error" in calibration:
        metric = "mae" if "mae" in (told.get("scores") or {}) else "rmse"
        return Expected.of_numbers(told["predictions"], calibration["error"], window=window, metric=metric)
    return Expected.of_classes(calibration["certainty"], calibration["right"], window=window)


def _drift_event(own: Mapping[str, str], report: Report | None) -> Event:
    assert report is not None  # noqa: S101 - what drifts has a watch
    blamed = [{"feature": f.profile.name, "effect": f.effect, "impact": f.impact} for f in report.findings[:20]]
    evidence = report.evidence if math.isfinite(report.evidence) else None
    told = {**own, "rows": report.rows, "drifted": list(report.drifted)}
    return Event("drift", time.time(), {**told, "evidence_log10": evidence, "features": blamed})


def _grouped(lines: list[str]) -> list[str]:
    """Bring the samples of each metric together under one head, as the format wants it."""
    families: dict[str, dict[str, None]] = {}
    for line in lines:
        family = line.split(" ", 3)[2] if line.startswith("#") else line.split("{", 1)[0]
        families.setdefault(family, {})[line] = None
    return [line for family in families.values() for line in family]
