"""How many folds, how many fits at once, and what is kept back for the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["REFIT_ROOM", "SMALL_ROWS", "Plan", "Shape", "make_plan", "plan_without_clock"]

ANCHOR_SHARE = 0.6  # of the time limit, for the fits that every ensemble should have
ANCHOR_COST = 10.0  # what those fits cost together, in units of the first one
FOLDS = (5, 3)
FEW_ROWS, FOLDS_OF_FEW = 2_000, 8  # where each row counts
REFIT_ROOM = 0.8  # of the seconds kept back for refits, as the choice of the ensemble comes before them
REFIT_SHARE = 0.25  # of the time limit, where there is but one part, and members are fitted again on all rows
SMALL_ROWS = 30_000  # up to which fits of one thread side by side do more than one fit of several threads


@dataclass(frozen=True, slots=True)
class Plan:
    """How a study spends its time.

    Attributes:
        folds: 1 means one holdout part.
        holdout: share of rows in that part.
        slots: fits at once. threads: threads of each.
        refit: whether members are fitted again on all rows, instead of shipping the models of the folds. Models of
            three folds and more, averaged, predict as well as one of all rows, those of five better (measured), and cost more.
        reserve: seconds kept back for that, and for the ensemble.
        refit_seconds: how much of them is for fitting again.
    """

    folds: int
    holdout: float
    slots: int
    threads: int
    refit: bool
    reserve: float
    refit_seconds: float = 0.0

    def reserve_for(self, refits: Sequence[float]) -> float:
        """Return the seconds to keep back where it is known what members would cost to fit again.

        What is too slow for that is not fitted again, and the search may have its time.
        """
        short = [seconds for seconds in refits if seconds <= REFIT_ROOM * self.refit_seconds]
        wanted = sum(short) / self.slots / REFIT_ROOM if refits else self.refit_seconds
        return self.reserve - self.refit_seconds + min(wanted, self.refit_seconds)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a plan depends on besides time.

    Attributes:
        minority: rows of the smallest class that has more than one, or groups; the number of rows for regression, less
            than half of it where time orders them.
        capacity: fits that the executor takes at once. threads: threads of this machine that may be used.
        folds: as the user wishes, or as an earlier run of the study had them, instead of by cost.
        refit: whether one model of each member is wanted, whatever the folds.
    """

    rows: int
    minority: int
    capacity: int
    threads: int
    folds: int | None = None
    refit: bool = False

    @property
    def slots(self) -> int:
        """Fits at once; a cluster's are never fewer than it has."""
        return self.capacity if self.rows <= SMALL_ROWS or self.capacity > self.threads else 1

    @property
    def threads_each(self) -> int:
        return 1 if self.slots > 1 else self.threads


def make_plan(shape: Shape, *, probe: float, time_limit: float) -> Plan:
    """Plan from what the first fit of one fold cost: `probe` seconds with the threads that each fit will have."""
    room = time_limit * ANCHOR_SHARE * shape.slots
    choices = (FOLDS_OF_FEW, *FOLDS) if shape.rows <= FEW_ROWS else FOLDS
    affordable = [k for k in choices if probe * k * ANCHOR_COST <= room]
    folds = _possible(shape, shape.folds or (max(affordable) if affordable else 1))
    refit = shape.refit or folds == 1
    refit_seconds = REFIT_SHARE * time_limit if refit else 0.0
    reserve = min(0.04 * time_limit + 0.5, 0.2 * time_limit) + refit_seconds
    holdout = min(max(2500 / shape.rows, 0.1), 0.2) if shape.rows > 10_000 else 0.2
    return Plan(folds, holdout, shape.slots, shape.threads_each, refit, reserve, refit_seconds)


def plan_without_clock(shape: Shape) -> Plan:
    """Plan by rows alone, so that the same table gives the same plan on any machine."""
    folds = _possible(
        shape, shape.folds or (FOLDS_OF_FEW if shape.rows <= FEW_ROWS else 5 if shape.rows <= 50_000 else 3)
    )
    return Plan(folds, 0.2, shape.slots, shape.threads_each, shape.refit or folds == 1, 0.0)


def _possible(shape: Shape, folds: int) -> int:
    """Return the number of folds that leaves every one a member of every class."""
    return max(2, min(folds, shape.minority)) if folds > 1 else 1
