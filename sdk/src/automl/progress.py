"""Progress of a study for people: a listener like any other, live on a terminal and plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from automl.memory import free_memory
from automl_core import SettingsError, Study, Trial, TrialState, hookimpl

if TYPE_CHECKING:
    from rich.console import RenderableType

    from automl.metrics import Metric

__all__ = ["PlainProgress", "show_progress"]

SHOWN = 3


class Standings:
    """What is known of a study so far, in words."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.study: Study | None = None
        self.done = 0
        self.best: list[Trial] = []
        self._metric: Metric | None = None

    def begin(self, study: Study) -> None:
        from automl.metrics import resolve_metric

        self.study = study
        try:
            self._metric = resolve_metric(study.metric, study.task)
        except SettingsError:
            self._metric = None  # a function of the user's: its name says nothing of its direction

    def add(self, trial: Trial) -> bool:
        """Count a finished trial; return whether it is the best one now."""
        self.done += 1
        if trial.state != TrialState.COMPLETE or trial.loss is None:
            return False
        self.best = sorted([*self.best, trial], key=lambda t: t.loss if t.loss is not None else float("inf"))[:SHOWN]
        return self.best[0] is trial

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def score(self, trial: Trial) -> str:
        """Return a trial's score in the metric's own direction, or its loss where that is not known."""
        if trial.loss is None:
            return ""
        if self._metric is None:
            return f"loss {trial.loss:.5f}"
        return f"{self._metric.name} {self._metric.to_score(trial.loss):.5f}"

    def summary(self) -> str:
        best = f"best {self.score(self.best[0])}" if self.best else "no score yet"
        return f"{self.done} trial{'' if self.done == 1 else 's'}, {best}"


def headline(study: Study) -> str:
    limit = "" if study.time_limit is None else f", up to {study.time_limit:g} s"
    return f"{study.task} of {study.target!r}: {study.rows} rows, {study.columns} columns, {study.metric}{limit}"


class PlainProgress:
    """Writes one line per finished trial."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._standings = Standings()

    @hookimpl
    def automl_study_started(self, study: Study) -> None:
        self._standings.begin(study)
        self._write(headline(study))

    @hookimpl
    def automl_trial_finished(self, trial: Trial) -> None:
        mark = " *" if self._standings.add(trial) else ""
        what = self._standings.score(trial) if trial.state == TrialState.COMPLETE else f"{trial.state}: {trial.error}"
        self._write(f"{self._standings.seconds:7.1f} s  {trial.learner} #{trial.id}  {what}{mark}")

    @hookimpl
    def automl_study_finished(self, error: BaseException | None) -> None:
        if error is None:
            self._write(f"{self._standings.seconds:7.1f} s  {self._standings.summary()}")

    def _write(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveProgress:
    """Keeps a bar of the time, the number of trials and the leaders on screen; `rich` draws it when it likes."""

    def __init__(self) -> None:
        self._standings = Standings()
        self._running: dict[int, Trial] = {}

    @hookimpl
    def automl_study_started(self, study: Study) -> None:
        self._standings.begin(study)

    @hookimpl
    def automl_trial_started(self, trial: Trial) -> None:
        self._running[trial.id] = trial

    @hookimpl
    def automl_trial_finished(self, trial: Trial) -> None:
        self._running.pop(trial.id, None)
        self._standings.add(trial)

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now, study = self._standings, self._standings.study
        if study is None:
            return Text(f"reading and planning, {now.seconds:.0f} s")
        limit = study.time_limit
        left = f"{now.seconds:.0f} s" if limit is None else f"{max(limit - now.seconds, 0):.0f} s left"
        memory = free_memory()
        if memory < math.inf:
            left += f", {memory / 1e9:.1f} GB free"
        line = Table.grid(padding=(0, 1))
        line.add_row(
            ProgressBar(total=limit, completed=now.seconds, width=30, pulse=limit is None), now.summary(), left
        )
        leaders = Table.grid(padding=(0, 2))
        for place, trial in enumerate(now.best, 1):
            leaders.add_row(f"  {place}.", f"{trial.learner} #{trial.id}", now.score(trial), f"{trial.seconds:.1f} s")
        running = list(self._running.values())  # a copy: `rich` draws in a thread of its own
        names = ", ".join(f"{trial.learner} #{trial.id}" for trial in running[:SHOWN])
        more = f" and {len(running) - SHOWN} more" if len(running) > SHOWN else ""
        return Group(
            Text(headline(study)),
            line,
            leaders,
            Text(f"  fitting {names}{more}" if names else "  finishing", style="dim"),
        )


@contextmanager
def show_progress(stream: TextIO) -> Iterator[object]:
    """Yield a listener that shows progress on a stream for as long as the context lasts."""
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    from rich.console import Console
    from rich.live import Live

    listener = LiveProgress()
    with Live(listener, console=Console(file=stream), refresh_per_second=4):
        yield listener
