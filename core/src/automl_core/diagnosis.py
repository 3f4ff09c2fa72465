"""What is well and what is not, for `automl doctor`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["ABSENT", "BY_HAND", "FAILED", "OK", "STATES", "WARNING", "Diagnoses", "Finding"]

OK, WARNING, FAILED = "ok", "warning", "failed"
ABSENT = "not configured"
BY_HAND = "by hand"  # what a program cannot know
STATES = (OK, WARNING, FAILED, ABSENT, BY_HAND)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a diagnosis.

    Attributes:
        check: what was looked at, in a few words; the same in every run.
        state: one of `STATES`.
        said: what was found, with figures; never a secret.
        remedy: what to do about it; empty where nothing is.
    """

    check: str
    state: str
    said: str
    remedy: str = ""


@runtime_checkable
class Diagnoses(Protocol):
    """A component that knows what makes it unfit for production: an unreachable server, no limit of memory."""

    def diagnose(self) -> Iterable[Finding]:
        """Look now, and yield one finding for each thing looked at; takes seconds at most, and changes nothing."""
        ...
