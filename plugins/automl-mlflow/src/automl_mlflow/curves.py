"""Metrics of a study over its trials."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LEADERBOARD", "Curve", "Point", "scores"]

LEADERBOARD = "leaderboard.json"


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a metric. `time` is in seconds since the epoch."""

    name: str
    value: float
    time: float
    step: int


class Curve:
    """The losses of a study's trials, and the best of them so far; holds the points that were not sent yet."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self._best, self._ended = math.inf, 0

    def add(self, trial: Mapping[str, Any], time: float) -> None:
        """Take a trial that ended; one without a loss adds no point.

        The step of `loss` is the trial's number, that of `best_loss` how many ended before: trials end in any order, and
        MLflow takes the value at the greatest step for the last one.
        """
        loss = trial["loss"]
        if loss is not None:
            self._best = min(self._best, loss)
            self.points += [Point("loss", loss, time, trial["id"]), Point("best_loss", self._best, time, self._ended)]
        self._ended += 1


def scores(leaderboard: Path, metric: str, time: float) -> list[Point]:
    """Return the scores of a leaderboard, in the metric's own direction: of each trial, of the best one up to it
    (both by the trial's number), and of the ensemble. Empty for a file that is no leaderboard of the engine.
    """
    try:
        rows = json.loads(leaderboard.read_bytes())
        scored = [row for row in rows if row["score"] is not None and row["loss"] is not None]
        trials = {int(row["name"].rpartition("#")[2]): row for row in scored if "#" in row["name"]}
    except (ValueError, KeyError, TypeError):
        return []
    points, best = [], None
    for number in sorted(trials):
        row = trials[number]
        best = row if best is None or row["loss"] < best["loss"] else best
        points += [Point(metric, row["score"], time, number), Point(f"best_{metric}", best["score"], time, number)]
    last = points[-1].step if points else 0
    return points + [
        Point(f"ensemble_{metric}", row["score"], time, last) for row in scored if row["name"] == "ensemble"
    ]
