"""Drift of what a model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from automl_drift.profile import Counts, Profile
from automl_drift.watch import DRIFT, FEW, OK, Report, Watch

__all__ = ["PREDICTION", "Said", "together"]

PREDICTION = "(prediction)"
FIRST = 2000  # rows that the others are compared with


class Said:
    """Compares predictions with the first 2,000 that a version served.

    Those on held-out rows make the bins, and no more: they come from models of single folds, which say other things than
    the whole ensemble by more than the tolerance where the signal is weak.

    Args:
        predictions: labels or numbers of held-out rows.
        watching: the options of `Watch`.

    Raises:
        DataError: there is no usable prediction.
    """

    def __init__(self, predictions: Sequence[Any], watching: Mapping[str, Any]) -> None:
        profile = Profile.of(PREDICTION, predictions, importance=0.0)  # it is no feature that the model leans on
        self.profile, self._watching = profile, watching
        self._first = np.zeros_like(profile.counts)
        self.watch: Watch | None = None

    def add(self, counts: Counts, rows: int) -> None:
        """Take in counts of `rows` rows on the bins of `profile`."""
        if self.watch is not None:
            self.watch.add({PREDICTION: counts}, rows)
            return
        self._first = self._first + counts
        if int(self._first.sum()) >= FIRST:
            self._begin()

    def state(self) -> dict[str, Any]:
        return {"first": self._first.tolist(), "watch": None if self.watch is None else self.watch.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._first, self.watch = np.array(state["first"], dtype=np.int64), None
        if state["watch"] is not None:
            self._begin().restore(state["watch"])

    def _begin(self) -> Watch:
        self.watch = Watch([replace(self.profile, counts=self._first)], **self._watching)
        return self.watch


def together(reports: Sequence[Report]) -> Report | None:
    """Return one report of several about the same rows, the first of which says how many; None of none."""
    if not reports:
        return None
    status = DRIFT if any(one.status == DRIFT for one in reports) else FEW if reports[0].status == FEW else OK
    since = min((one.since for one in reports if one.since is not None), default=None)
    findings = [item for one in reports for item in one.findings]
    findings.sort(key=lambda item: (item.status != DRIFT, -item.impact, -item.effect))
    return Report(status, reports[0].rows, since, max(one.evidence for one in reports), tuple(findings))
