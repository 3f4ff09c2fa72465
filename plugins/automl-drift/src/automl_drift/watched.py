"""One version of a model as the monitor knows it: its watch, its score, and what awaits the next look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from automl_drift.estimates import Estimate
from automl_drift.exchange import Exchange
from automl_drift.expected import Expected
from automl_drift.exposition import exposition
from automl_drift.performance import PerformanceMonitor
from automl_drift.profile import Counts, Profile
from automl_drift.quality import violations
from automl_drift.said import PREDICTION, Said, together
from automl_drift.scored import Scored
from automl_drift.watch import DRIFT, OK, Report, Watch

__all__ = ["Watched"]

TOLD = 20  # features of a summary, and faults
FAULTY = 0.05  # share of rows beyond the reference's, from which a fault is told
MOST_LOSSES = 100_000  # that wait for a folder which cannot be written


class Watched:
    """A model's watch and score. One thread at a time.

    Args:
        profiles: the reference; none where only labels are to be watched.
        score: of held-out rows by metric, at most one; empty where labels say nothing.
        exchange: where workers of one server meet; None for one worker.
        expected: estimates the score without labels; None where that cannot be.
        said: watches predictions; None where those are not known of held-out rows.
    """

    def __init__(
        self,
        name: str,
        version: str,
        profiles: Sequence[Profile],
        score: Mapping[str, float],
        exchange: Exchange | None,
        *,
        watching: Mapping[str, Any],
        scoring: Mapping[str, Any],
        expected: Expected | None = None,
        said: Said | None = None,
    ) -> None:
        self.name, self.version, self.exchange = name, version, exchange
        self.watch = Watch(profiles, **watching) if profiles else None
        self.expected, self.said = expected, said
        self._others = {part.profile.name: part.profile for part in (expected, said) if part is not None}
        counted = [*profiles, *self._others.values()]
        self.counts = {profile.name: np.zeros_like(profile.counts) for profile in counted}
        self.rows = 0
        self.leading = exchange is None
        self.key = [*(p.key for p in counted), *(f"{metric} {value:.9g}" for metric, value in score.items())]
        self.performance: PerformanceMonitor | None = None
        self.losses: list[float] = []
        for metric, self.baseline in score.items():
            self.performance = PerformanceMonitor(metric, **scoring)
            self.performance.set_baseline(self.baseline)

    def take(self, columns: Mapping[str, Any], rows: int) -> None:
        """Count rows for the next look.

        Raises:
            ValueError: a column has another number of rows.
        """
        if not self.counts:
            return
        counts = {} if self.watch is None else self.watch.count(columns, rows)
        for name, profile in self._others.items():
            counts[name] = profile.count(columns.get(name, [None] * rows))
        short = [name for name, found in counts.items() if found.sum() != rows]
        if short:
            raise ValueError(f"column {short[0]!r} does not have {rows} rows")
        for name, found in counts.items():
            self.counts[name] += found
        self.rows += rows

    def label(self, predictions: Sequence[Any], truths: Sequence[Any]) -> None:
        """Take predictions whose truth is known now, for the next look."""
        if self.performance is not None:
            pairs = zip(predictions, truths, strict=True)
            self.losses += [self.performance.loss(said, truth) for said, truth in pairs]
            del self.losses[:-MOST_LOSSES]

    def look(self) -> bool:
        """Hand on what was counted, bring watch and score up to date where this worker leads; tell whether labels came."""
        counts, rows, losses = self.counts, self.rows, self.losses
        if rows:
            self.counts, self.rows = {key: np.zeros_like(found) for key, found in counts.items()}, 0
        batches: list[tuple[dict[str, Counts], int]] = [(counts, rows)] if rows else []
        if self.exchange is not None:
            if rows:
                self.exchange.publish(counts, rows)
            sent = not losses or self.exchange.send(losses)
        self.losses = []  # and not before: where the folder cannot be written, they wait
        if self.exchange is not None:
            if not sent:
                raise OSError("too many labels wait for a worker that leads")
            if not self._lead(self.exchange):
                return False
            batches, losses = self.exchange.collect(), self.exchange.receive()
        for found, number in batches:
            if self.watch is not None:
                self.watch.add(found, number)
            if self.expected is not None:
                self.expected.add(found[self.expected.profile.name])
            if self.said is not None:
                self.said.add(found[PREDICTION], number)
        for loss in losses if self.performance is not None else ():
            self.performance.take(loss)  # type: ignore[union-attr]
        if self.exchange is not None and (batches or losses):
            self.exchange.save(self._state(), self.text(), self.summary())
        return bool(losses)

    def _lead(self, exchange: Exchange) -> bool:
        if not exchange.lead():
            return False
        if not self.leading:
            self.leading = True
            if (state := exchange.load()) is not None:
                if self.watch is not None:
                    self.watch.restore(state["watch"])
                if self.performance is not None:
                    self.performance.restore(state["performance"])
                if self.expected is not None:
                    self.expected.restore(state["expected"])
                if self.said is not None:
                    self.said.restore(state["said"])
        return True

    def _state(self) -> dict[str, Any]:
        parts = {"watch": self.watch, "performance": self.performance, "expected": self.expected, "said": self.said}
        return {name: part.state() for name, part in parts.items() if part is not None}

    # ---- what is known

    @property
    def drifts(self) -> bool:
        return self.leading and any(watch.status == DRIFT for watch in self._watches())

    @property
    def degraded(self) -> bool:
        return self.leading and self.performance is not None and self.performance.degraded

    @property
    def report(self) -> Report | None:
        return together([watch.report() for watch in self._watches()])

    @property
    def scored(self) -> Scored | None:
        if self.performance is None:
            return None
        degraded, score = self.performance.check_degradation()
        return Scored(self.performance.metric, self.baseline, float(score), score.rows, degraded, score.interval)

    @property
    def estimate(self) -> Estimate | None:
        if self.expected is None:
            return None
        scored = self.scored
        labelled = scored.interval if scored is not None and scored.metric == self.expected.metric else None
        return self.expected.estimate(report=self.report, labelled=labelled)

    def _watches(self) -> list[Watch]:
        said = None if self.said is None else self.said.watch
        return [watch for watch in (self.watch, said) if watch is not None]

    def text(self) -> str:
        """Return this version's metrics; those of the leader, where that is another worker."""
        if self.exchange is not None and not self.leading:
            return self.exchange.said()[0]
        metric = "" if self.expected is None else self.expected.metric
        return exposition(self.name, self.version, self.report, self.scored, self.estimate, metric)

    def summary(self) -> dict[str, Any]:
        """Return what is known as plain data; from the leader, where that is another worker."""
        if self.exchange is not None and not self.leading:
            return self.exchange.said()[1]
        report, scored, estimate = self.report, self.scored, self.estimate
        told: dict[str, Any] = {"model": self.name, "version": self.version, "status": OK}
        if report is not None:
            evidence = report.evidence if math.isfinite(report.evidence) else None
            told |= {"status": report.status, "rows": report.rows, "since": report.since, "evidence_log10": evidence}
            told["features"] = [
                {"name": f.profile.name, "status": f.status, "effect": f.effect, "impact": f.impact}
                for f in report.findings[:TOLD]
            ]
            told["faults"] = [
                {"name": f.profile.name, "check": check, "share": share}
                for f in report.findings
                for check, share in violations(f).items()
                if share > FAULTY
            ][:TOLD]
        if self.expected is not None and estimate is not None:
            interval = [estimate.low, estimate.high]
            told["estimate"] = {self.expected.metric: estimate.value, "interval": interval, "doubt": estimate.reason}
        if scored is not None:
            told["performance"] = scored.to_json()
            told["status"] = "degraded" if scored.degraded else told["status"]
        return told

    def close(self) -> None:
        if self.exchange is not None:
            self.exchange.close()
