"""One run: roll back a champion that does worse than the one before, or fit a challenger and let it prove itself."""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.metrics import METRICS, pinball_level
from automl.retrain.champion import find_champion, load_version
from automl.retrain.gate import Comparison, compare
from automl.retrain.history import ENDS, History
from automl.retrain.policy import attempts, objection
from automl.retrain.recent import Recent
from automl.retrain.rows import Rows, split_rows
from automl_core import AutoMLError, DataError, Event, Registry, SettingsError

if TYPE_CHECKING:
    from automl.model import Model
    from automl.retrain.settings import RetrainSettings
    from automl_core import Settings, Storage

__all__ = ["Retraining"]

CHALLENGER = "challenger"
FEWEST = 30  # labelled rows since a promotion before it may be rolled back
EXTRA = 900.0  # seconds beyond its time limit after which a run is taken for dead
log = logging.getLogger("automl.retrain")


class Retraining:
    """Decides for one model of a registry; every decision is journalled.

    Args:
        engine: the settings that challengers are fitted with.
    """

    def __init__(
        self,
        registry: Registry,
        storage: Storage,
        settings: RetrainSettings,
        *,
        engine: Settings,
        threads: int | None = None,
    ) -> None:
        if not settings.name:
            raise SettingsError("retraining needs the model's name in the registry: plugins.retrain.name.")
        self.registry, self.settings, self._engine, self._threads = registry, settings, engine, threads
        self.history = History(storage, settings.name)

    def run(self, because: str = "", *, force: bool = False) -> Event:
        """Return the journal's entry of what was decided: "refused", "rejected", "proposed", "promoted", "rolled_back".

        Args:
            because: what asks for it, for the journal.
            force: start whatever the policy says of cooldown, budget and number of labels.

        Raises:
            DataError: there is no champion, or the data cannot be learned from.
            SettingsError: a setting is missing.

        What is raised is journalled as "failed" too.
        """
        try:
            decided = self._start(because, force=force)
        except Exception as error:
            self.history.write("failed", "", reason=_told(error), because=because)
            raise
        return decided if isinstance(decided, Event) else self._work(*decided)

    def _start(self, because: str, *, force: bool) -> Event | tuple[str, Recent, int]:
        """Return what was decided without a run; or the run that begins, its rows, and the attempts before it."""
        settings, recent = self.settings, Recent(self.settings)
        if settings.canary and not recent.dated:
            raise SettingsError(
                "a canary needs rows that tell when they were predicted: set plugins.retrain.time_column."
            )
        decided = self._watch_probation(recent, because) or self._watch_canary(recent, because, force=force)
        if decided is not None:
            return decided
        entries = self.history.entries()
        lease = settings.time_limit * 3 + EXTRA
        if (other := self.history.running(lease=lease)) is not None:
            return self.history.refuse(f"single flight: run {other} is under way", because)
        reason = None if force else objection(entries, settings, now=time.time(), fresh=lambda: self._fresh(recent))
        if reason is not None:
            return self.history.refuse(reason, because)
        run = self.history.begin(because, lease=lease)
        if run is None:
            return self.history.entries()[-1]
        return run, recent, attempts(entries)

    def _fresh(self, recent: Recent) -> int:
        told = [(entry.time, entry.attributes) for entry in self.history.entries()]
        ends = [moment for moment, one in told if one["stage"] in ENDS and one["run"]]
        _, champion = self._champion()
        rows = recent.read(champion, since=max(ends, default=0.0))
        return 0 if rows is None else rows.num_rows

    def _champion(self) -> tuple[str, Model]:
        return find_champion(self.registry, self.settings.name, self.settings.alias)

    def rollback(self, because: str) -> Event:
        """Point the alias at the version before the last promotion.

        Raises:
            DataError: the journal knows of no promotion in force.
        """
        last = self.history.last_promotion()
        if last is None:
            raise DataError(
                f"no promotion of the model {self.settings.name!r} is in force; there is nothing to roll back."
            )
        self.registry.alias(self.settings.name, self.settings.alias, last["previous"])
        return self.history.write(
            "rolled_back", last["run"], version=last["version"], to=last["previous"], because=because
        )

    # ---- a new champion on probation

    def _watch_probation(self, recent: Recent, because: str) -> Event | None:
        """Roll back where the version before is better on the traffic since the promotion."""
        last = self.history.last_promotion()
        if last is None or not recent.dated or not 0 <= time.time() - last["time"] < self.settings.probation:
            return None
        now = load_version(self.registry, self.settings.name, last["version"])
        rows = recent.read(now, since=last["time"])
        if rows is None or rows.num_rows < FEWEST:
            return None
        before = load_version(self.registry, self.settings.name, last["previous"])
        found = compare(now, before, rows.drop_columns(now.target), rows[now.target].to_pylist())
        if found.p > self.settings.level or found.gain <= 0:
            return None
        self.registry.alias(self.settings.name, self.settings.alias, last["previous"])
        log.warning("%s goes back to version %s", self.settings.name, last["previous"])
        return self.history.write(
            "rolled_back", last["run"], version=last["version"], to=last["previous"], because=because,
            comparison=found.to_json(),
        )  # fmt: skip

    def _watch_canary(self, recent: Recent, because: str, *, force: bool) -> Event | None:
        """Promote or reject a challenger that is being tried, when its time is over."""
        last = self.history.proposal()
        if last is None:
            return None
        left = self.settings.canary - max(0.0, time.time() - last["time"])
        if left > 0 and not force:
            return self.history.refuse(f"canary: version {last['version']} is being tried", because)
        version, champion = self._champion()
        rows = recent.read(champion, since=last["time"])
        if rows is None or rows.num_rows < FEWEST:
            return self.history.refuse(f"canary: too few labels to judge version {last['version']}", because)
        challenger = load_version(self.registry, self.settings.name, last["version"])
        found = compare(champion, challenger, rows.drop_columns(champion.target), rows[champion.target].to_pylist())
        evidence = {"champion": version, "version": last["version"], "comparison": found.to_json()}
        if found.gain <= 0:
            return self.history.write("rejected", last["run"], reason="no better while it was tried", **evidence)
        self.registry.alias(self.settings.name, self.settings.alias, last["version"])
        return self.history.write("promoted", last["run"], previous=version, **evidence)

    # ---- a challenger

    def _work(self, run: str, recent: Recent, before: int) -> Event:
        started = time.monotonic()
        try:
            stage, evidence = self._decide(recent, before)
        except BaseException as error:
            self.history.write("failed", run, reason=_told(error), seconds=time.monotonic() - started)
            raise
        entry = self.history.write(stage, run, seconds=time.monotonic() - started, **evidence)
        log.info("%s: %s", self.settings.name, stage)
        return entry

    def _decide(self, recent: Recent, before: int) -> tuple[str, dict[str, Any]]:
        """Fit challengers, compare each with the champion, and promote the best that is surely better."""
        settings, name = self.settings, self.settings.name
        version, champion = self._champion()
        labelled = recent.read(champion)
        if labelled is None:
            raise DataError(f"there is no labelled row of the model {name!r}: send labels first.")
        rows = split_rows(labelled, settings.data, target=champion.target, holdout=settings.holdout)
        tables = {"recent": rows.recent} | ({} if rows.both is None else {"recent and earlier": rows.both})
        # The level is shared among challengers, and over all attempts since the last promotion: 1/2 + 1/6 + 1/12 + ...
        level = settings.level / ((before + 1) * (before + 2)) / len(tables)
        evidence: dict[str, Any] = {"champion": version, "level": level, "challengers": {}}
        best: tuple[float, Model, str] | None = None
        for kind, table in tables.items():
            challenger = self._fit(champion, table, settings.time_limit / len(tables))
            found = compare(champion, challenger, rows.holdout, rows.truths)
            verdict = self._verdict(found, level, champion, challenger, rows)
            evidence["challengers"][kind] = {"learned_rows": table.num_rows, **found.to_json(), **verdict}
            if not verdict["reason"] and (best is None or found.gain > best[0]):
                best = found.gain, challenger, kind
        if best is None:
            return "rejected", evidence
        new = self._register(best[1], {"champion": version, "learned": best[2]})
        if settings.canary:
            return "proposed", {**evidence, "version": new, "learned": best[2]}
        self.registry.alias(name, settings.alias, new)
        return "promoted", {**evidence, "version": new, "previous": version, "learned": best[2]}

    def _verdict(
        self, found: Comparison, level: float, champion: Model, challenger: Model, rows: Rows
    ) -> dict[str, Any]:
        """Return why a challenger is refused, empty if it is not, and how it does on rows of earlier times."""
        reason = "" if found.gain > 0 and found.p <= level else f"no better: p {found.p:.4f}, level {level:.4f}"
        if rows.old is None:
            return {"reason": reason}
        earlier = compare(champion, challenger, rows.old, rows.old_truths)
        if not reason and self.settings.forget is not None and earlier.worse_by > self.settings.forget:
            reason = (
                f"forgets: {earlier.metric} on earlier rows {earlier.challenger:.4f} instead of {earlier.champion:.4f}"
            )
        return {"reason": reason, "earlier": earlier.to_json()}

    def _fit(self, champion: Model, table: Any, seconds: float) -> Model:
        from automl.engine import AutoML

        known = champion.metric in METRICS or pinball_level(champion.metric) is not None
        metric = champion.metric if known else None
        asked = champion.info.get("origin", {}).get("arguments", {})  # what was promised of the champion holds on
        engine = AutoML(
            time_limit=seconds, metric=metric, task=champion.task, settings=self._engine, n_jobs=self._threads,
            monotone=asked.get("monotone"),
        )  # fmt: skip
        challenger: Model = engine.fit(table, target=champion.target, warm_start=champion).model_
        return challenger

    def _register(self, model: Model, tags: dict[str, str]) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{self.settings.name}.automl")
            model.save(path)
            version = self.registry.register(self.settings.name, path, tags=tags)
        self.registry.alias(self.settings.name, CHALLENGER, version)
        return version


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, AutoMLError) else repr(error)
