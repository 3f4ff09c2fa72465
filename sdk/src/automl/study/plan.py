"""How many folds, how many fits at once, and what is kept back for the end."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Plan", "make_plan", "plan_without_clock"]

ANCHOR_SHARE = 0.4  # of the time limit, for the fits that every ensemble should have
ANCHOR_COST = 8.0  # what those fits cost together, in units of the first one
FOLDS = (8, 5, 3)
SMALL_FIT = 1.5  # seconds of the first fit up to which fits of one thread side by side finish often enough


@dataclass(frozen=True, slots=True)
class Plan:
    """How a study spends its time.

    Attributes:
        folds: 1 means one holdout part.
        holdout: share of rows in that part.
        slots: fits at once. threads: threads of each.
        refit: whether members are fitted again on all rows, instead of shipping the models of the folds.
        reserve: seconds kept back for that, and for the ensemble.
    """

    folds: int
    holdout: float
    slots: int
    threads: int
    refit: bool
    reserve: float


def make_plan(
    *, probe: float, time_limit: float, rows: int, minority: int, capacity: int, threads: int, folds: int | None = None
) -> Plan:
    """Plan from what the first fit of one fold cost.

    Args:
        probe: seconds that the first fit took with all threads, on about seven eighths of the rows.
        minority: rows of the smallest class that has more than one; the number of rows for regression.
        capacity: fits that the executor takes at once. threads: threads of this machine that may be used.
        folds: as the user wishes, instead of by cost.
    """
    room = time_limit * ANCHOR_SHARE
    affordable = [k for k in FOLDS if probe * k * ANCHOR_COST <= room]
    chosen = folds or (max(affordable) if affordable else 1)
    if chosen > 1:
        chosen = max(2, min(chosen, minority))
    many = probe <= SMALL_FIT and chosen > 1
    slots = capacity if many or capacity > threads else 1
    refit = chosen <= 3
    reserve = min(0.04 * time_limit + 0.5, 0.2 * time_limit) + (0.25 * time_limit if refit else 0.0)
    holdout = min(max(2500 / rows, 0.1), 0.2) if rows > 10_000 else 0.2
    return Plan(chosen, holdout, slots, 1 if slots > 1 else threads, refit, reserve)


def plan_without_clock(*, rows: int, minority: int, capacity: int, threads: int, folds: int | None = None) -> Plan:
    """Plan by rows alone, so that the same table gives the same plan on any machine."""
    chosen = folds or (8 if rows <= 5_000 else 5 if rows <= 50_000 else 3)
    chosen = max(2, min(chosen, minority)) if chosen > 1 else 1
    small = rows <= 20_000
    slots = capacity if small or capacity > threads else 1
    return Plan(chosen, 0.2, slots, 1 if slots > 1 else threads, chosen <= 3, 0.0)
