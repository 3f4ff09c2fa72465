"""Whether a run may start now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from automl.retrain.history import ENDS

if TYPE_CHECKING:
    from automl.retrain.settings import RetrainSettings
    from automl_core import Event

__all__ = ["attempts", "objection", "vain"]

MONTH = 30 * 86_400.0
FOUND = ("promoted", "proposed")  # a better model was found


def objection(
    entries: Sequence[Event], settings: RetrainSettings, *, now: float, fresh: Callable[[], int]
) -> str | None:
    """Return why no run may start, None if one may.

    Args:
        entries: the journal, oldest first.
        now: seconds since the epoch. Entries of the future, after a clock was set back, count as of now.
        fresh: counts labelled rows that came since the last run; asked last, as it reads them.
    """
    ends = [entry for entry in entries if _counts(entry)]
    recent = [entry for entry in ends if now - entry.time < MONTH]
    if ends:
        wait = min(settings.cooldown * 2 ** min(vain(entries), 32), settings.longest_cooldown)
        left = wait - max(0.0, now - ends[-1].time)
        if left > 0:
            return (
                f"cooldown: the last run ended {_hours(now - ends[-1].time)} ago, the next may start in {_hours(left)}"
            )
    if len(recent) >= settings.runs:
        return f"budget: there were {len(recent)} runs in 30 days, {settings.runs} are allowed"
    spent = sum(float(entry.attributes.get("seconds", 0.0)) for entry in recent)
    if spent >= settings.budget:
        return f"budget: runs took {spent:.0f} seconds in 30 days, {settings.budget:.0f} are allowed"
    if (count := fresh()) < settings.minimum:
        return f"labels: {count} rows came since the last run, {settings.minimum} are needed"
    return None


def vain(entries: Sequence[Event]) -> int:
    """Return how many runs in a row, up to now, found nothing better."""
    count = 0
    for entry in entries:
        if _counts(entry):
            count = 0 if entry.attributes["stage"] in FOUND else count + 1
    return count


def attempts(entries: Sequence[Event]) -> int:
    """Return how many challengers were compared since one was found better."""
    count = 0
    for entry in entries:
        stage = entry.attributes["stage"]
        count = 0 if stage in FOUND else count + (stage == "rejected")
    return count


def _counts(entry: Event) -> bool:
    """Return whether an entry ends a run that did something."""
    return entry.attributes["stage"] in ENDS and "seconds" in entry.attributes


def _hours(seconds: float) -> str:
    return f"{max(seconds, 0) / 3600:.1f} hours"
