"""What a search is told before it is asked: without a clock, nothing that depends on which fit is faster."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from automl_core import Search, Trial, TrialState

if TYPE_CHECKING:
    from automl.study.members import Member

__all__ = ["Dialogue"]

LAG = 4  # without a clock the search is asked for a trial when it knows all but the last three before it


class Dialogue:
    """The trials of a study that its search does not know yet, and the numbers that it gave to its own."""

    def __init__(self, *, timed: bool) -> None:
        self._timed = timed
        self._untold: list[Member] = []
        self._numbers: dict[int, int] = {}
        self._members = 0
        self._starved = False  # the search proposed nothing: it may wait for what it was not due to know

    def add(self, member: Member, number: int | None) -> None:
        """Take a trial that begins, with the number that the search gave it if it comes from there."""
        self._members += 1
        self._untold.append(member)
        if number is not None:
            self._numbers[member.trial.id] = number

    def ask(self, search: Search) -> Trial | None:
        """Tell the search what is due, and ask it; None where it proposes nothing, or must not be asked yet."""
        while self._timed or not any(self._is_due(m) and m.trial.state == TrialState.RUNNING for m in self._untold):
            self._tell(search)
            once_more = not self._timed and not self._starved
            asked = search.ask(1)
            self._starved = not asked
            if asked or not once_more:
                return asked[0] if asked else None
        return None

    def _is_due(self, member: Member) -> bool:
        if self._timed or self._starved or member.trial.origin != "search":
            return True
        return member.trial.id <= self._members - LAG

    def _tell(self, search: Search) -> None:
        """Tell the search what ended since it was asked last, in the order of the trials."""
        untold, self._untold = self._untold, []
        for member in untold:
            if member.trial.state == TrialState.RUNNING or not self._is_due(member):
                self._untold.append(member)
                continue
            # Trials of the portfolio are foreign to the search, and get numbers that it never gives.
            number = self._numbers.get(member.trial.id, -1 - member.trial.id)
            # Seconds differ from run to run: without a clock they must not sway what comes next.
            seconds = member.trial.seconds if self._timed else 0.0
            search.tell(replace(member.trial, id=number, seconds=seconds))
