"""The metrics of a study, in a file: a fit has no address that Prometheus could ask."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from automl_core import Study, Trial

__all__ = ["StudyMetrics"]


class StudyMetrics:
    """Counts the trials of one study, and writes the file anew, atomically, each time.

    Args:
        moment: seconds since the epoch when it started.
    """

    def __init__(self, study: Study, path: str | Path, moment: float) -> None:
        self.study, self._path = study, str(path)
        self._registry = CollectorRegistry()
        own = ("target", "metric")
        self._own = {"target": study.target, "metric": study.metric}
        self._trials = self._gauge("trials", "Trials that ended, by how.", *own, "learner", "state")
        self._seconds = self._gauge("trial_seconds", "Wall clock of the fits of trials that ended.", *own, "learner")
        self._best = self._gauge(
            "best_loss", "Smallest loss of a trial so far; the metric's own sign may differ.", *own
        )
        self._finished = self._gauge("finished_timestamp_seconds", "When it ended.", *own)
        self._failed = self._gauge("failed", "1 where it ended with an error.", *own)
        self._gauge("rows", "Rows of its table.", *own).labels(**self._own).set(study.rows)
        self._gauge("started_timestamp_seconds", "When it started.", *own).labels(**self._own).set(moment)
        self._least: float | None = None
        self._write()

    def add(self, trial: Trial) -> None:
        """Count a trial that is complete, pruned or failed."""
        own = {**self._own, "learner": trial.learner}
        self._trials.labels(**own, state=trial.state.value).inc()
        self._seconds.labels(**own).inc(trial.seconds)
        if trial.loss is not None and (self._least is None or trial.loss < self._least):
            self._least = trial.loss
            self._best.labels(**self._own).set(trial.loss)
        self._write()

    def finish(self, moment: float, *, failed: bool) -> None:
        self._finished.labels(**self._own).set(moment)
        self._failed.labels(**self._own).set(failed)
        self._write()

    def _gauge(self, name: str, told: str, *labels: str) -> Gauge:
        return Gauge(f"automl_study_{name}", told, labels, registry=self._registry)

    def _write(self) -> None:
        write_to_textfile(self._path, self._registry)
