"""The monitor `drift`: events in, verdicts and alerts out, all of it off the caller's path."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from typing import Any

import numpy as np

from automl_core import Event, Monitor
from automl_core.errors import AutoMLError
from automl_drift.exchange import Exchange
from automl_drift.exposition import exposition
from automl_drift.profile import Counts, Profile, profiles_of_schema
from automl_drift.watch import DRIFT, Report, Watch

__all__ = ["PREDICTION", "DriftMonitor"]

PREDICTION = "(prediction)"
MOST_VERSIONS = 16  # the oldest are forgotten
PATIENCE = 30.0  # seconds that `close` waits for what is due
log = logging.getLogger("automl.drift")


class _Model:
    """A model's watch, and the counts that await the next look."""

    def __init__(
        self, name: str, version: str, profiles: list[Profile], exchange: Exchange | None, options: dict[str, Any]
    ) -> None:
        self.name, self.version, self.exchange = name, version, exchange
        self.watch = Watch(profiles, **options)
        self.counts = {profile.name: np.zeros_like(profile.counts) for profile in profiles}
        self.rows = 0
        self.leading = exchange is None

    def take(self, columns: Mapping[str, Any], rows: int) -> None:
        counts = self.watch.count(columns, rows)
        short = [name for name, found in counts.items() if found.sum() != rows]
        if short:
            raise ValueError(f"column {short[0]!r} does not have {rows} rows")
        for name, found in counts.items():
            self.counts[name] += found
        self.rows += rows

    def look(self) -> None:
        """Hand the counts on, and bring the watch up to date where this worker leads."""
        counts, rows = self.counts, self.rows
        if rows:
            self.counts, self.rows = {key: np.zeros_like(found) for key, found in counts.items()}, 0
        if self.exchange is None:
            batches: list[tuple[dict[str, Counts], int]] = [(counts, rows)] if rows else []
        else:
            if rows:
                self.exchange.publish(counts, rows)
            if not self.exchange.lead():
                return
            if not self.leading:
                self.leading = True
                if (state := self.exchange.load()) is not None:
                    self.watch.restore(state)
            batches = self.exchange.collect()
        for found, number in batches:
            self.watch.add(found, number)
        if self.exchange is not None and batches:
            self.exchange.save(self.watch.state(), exposition(self.name, self.version, self.watch.report()))


class DriftMonitor(Monitor):
    """Watches the inputs and predictions of served models.

    Events, all attributes but `model` optional:

    - "model": `model`, `version`, `schema` (`Schema.to_json`), `importances` (by column), `predictions` (of held-out
      rows): the reference. Each version is watched on its own; the same again changes nothing.
    - "prediction": `model`, `version`, `inputs` (a sequence per column), `predictions` of the same rows.

    What else arrives is left out. Events are dropped, and counted, when `queue` of them wait, when they name a model
    that was not announced, and when they cannot be read.

    Attributes:
        on_alert: called from the monitor's thread with an Event "drift" when a model begins to drift.
    """

    def __init__(
        self,
        *,
        run_length: int = 1_000_000,
        window: int = 10_000,
        block: int = 100,
        tolerance: float = 0.04,
        interval: float = 1.0,
        queue: int = 10_000,
        directory: str = "",
    ) -> None:
        self._options = {"run_length": run_length, "window": window, "block": block, "tolerance": tolerance}
        self._directory = Path(directory) if directory else None
        self._interval, self._limit = interval, queue
        self._queue: deque[Event] = deque()
        self._models: dict[tuple[str, str], _Model] = {}
        self._lock = Lock()
        self._stop = Signal()
        self.dropped = 0
        self.on_alert: Callable[[Event], None] | None = None
        self._told: set[tuple[str, str]] = set()
        self._thread = Thread(target=self._work, name="automl-drift", daemon=True)
        self._thread.start()

    def emit(self, event: Event) -> None:
        if self._stop.is_set() or len(self._queue) >= self._limit:
            self.dropped += 1
        else:
            self._queue.append(event)

    def reports(self) -> dict[tuple[str, str], Report]:
        """Return what is known by model and version, of those that this worker leads."""
        with self._lock:
            return {key: model.watch.report() for key, model in self._models.items() if model.leading}

    def expose(self) -> tuple[str, bytes]:
        """Return drift metrics in Prometheus's text format; the same from every worker of one directory."""
        with self._lock:
            models = [model for _, model in sorted(self._models.items())]
            parts = [
                exposition(m.name, m.version, m.watch.report()) if m.exchange is None else m.exchange.text()
                for m in models
            ]
        body = "\n".join(_grouped([line for part in parts for line in part.splitlines()]))
        return "text/plain; version=0.0.4; charset=utf-8", f"{body}\n".encode() if body else b""

    def flush(self) -> None:
        """Work off what waits, now and in the calling thread."""
        with self._lock:
            while self._queue:
                self._take(self._queue.popleft())
            alerts = []
            for key, model in self._models.items():
                try:
                    model.look()
                except (AutoMLError, OSError, ValueError) as error:
                    log.warning("drift of model %r cannot be brought up to date: %s", model.name, error)
                alerts += self._changes(key, model)
        for alert in alerts:
            self._tell(alert)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(PATIENCE)
        for model in self._models.values():
            if model.exchange is not None:
                model.exchange.close()

    def _work(self) -> None:
        while not self._stop.wait(self._interval):
            self.flush()
        self.flush()

    def _take(self, event: Event) -> None:
        if event.name not in ("model", "prediction"):
            return
        try:
            (self._announce if event.name == "model" else self._predict)(event.attributes)
        except Exception as error:  # noqa: BLE001 - an event of any shape must not end the thread
            self.dropped += 1
            log.debug("an event %r was dropped: %r", event.name, error)

    def _announce(self, told: Mapping[str, Any]) -> None:
        name, version = str(told["model"]), str(told.get("version", ""))
        profiles = profiles_of_schema(told["schema"], told.get("importances")) if told.get("schema") else []
        if told.get("predictions") is not None:
            profiles.append(Profile.of(PREDICTION, told["predictions"]))
        old = self._models.get((name, version))
        if old is not None:
            if [p.key for p in old.watch.profiles] == [p.key for p in profiles]:
                return
            if old.exchange is not None:
                old.exchange.close()
            self._told.discard((name, version))
        exchange = None
        if self._directory is not None:
            exchange = Exchange(self._directory, f"{name}-{version}-{'-'.join(p.key for p in profiles)[:40]}")
        self._models[name, version] = _Model(name, version, profiles, exchange, self._options)
        if len(self._models) > MOST_VERSIONS:
            oldest = next(iter(self._models))
            gone = self._models.pop(oldest)
            self._told.discard(oldest)
            if gone.exchange is not None:
                gone.exchange.close()

    def _predict(self, told: Mapping[str, Any]) -> None:
        columns = dict(told.get("inputs") or {})
        if told.get("predictions") is not None:
            columns[PREDICTION] = told["predictions"]
        rows = max((len(values) for values in columns.values()), default=0)
        if rows:
            self._models[str(told["model"]), str(told.get("version", ""))].take(columns, rows)

    def _changes(self, key: tuple[str, str], model: _Model) -> list[Event]:
        if not model.leading or model.watch.status != DRIFT:
            self._told.discard(key)
            return []
        if key in self._told:
            return []
        self._told.add(key)
        report = model.watch.report()
        blamed = [{"feature": f.profile.name, "effect": f.effect, "impact": f.impact} for f in report.findings[:20]]
        evidence = report.evidence if math.isfinite(report.evidence) else None
        told = {"model": model.name, "version": model.version, "rows": report.rows, "drifted": list(report.drifted)}
        return [Event("drift", time.time(), {**told, "evidence_log10": evidence, "features": blamed})]

    def _tell(self, alert: Event) -> None:
        log.warning("model %r drifts: %s", alert.attributes["model"], ", ".join(alert.attributes["drifted"]))
        if self.on_alert is not None:
            try:
                self.on_alert(alert)
            except Exception:
                log.exception("the listener of drift alerts failed")


def _grouped(lines: list[str]) -> list[str]:
    """Bring the samples of each metric together under one head, as the format wants it."""
    families: dict[str, dict[str, None]] = {}
    for line in lines:
        family = line.split(" ", 3)[2] if line.startswith("#") else line.split("{", 1)[0]
        families.setdefault(family, {})[line] = None
    return [line for family in families.values() for line in family]
