"""What the journal says of a model's retraining so far, told to the monitors of a server."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING, Any

from automl.retrain.history import ENDS, STAGES, History
from automl_core import Event

if TYPE_CHECKING:
    from automl_core import Monitor, Plugins

__all__ = ["Follower", "summarise"]

PATIENCE = 5.0  # seconds that `close` waits for a storage that does not answer
log = logging.getLogger("automl.retrain")


class Follower:
    """Tells monitors of the journal of one model: at the start, and whenever something was decided.

    The journal is that of the storage in the settings, whoever writes it: a listener of this server or of another one, or
    `automl retrain` from cron. A storage that does not answer is asked again the next time. Each telling says all that was
    decided, so that several workers and servers tell the same, and one that starts anew forgets nothing:
    `Event("retraining", ...)` with `model` and what `summarise` returns.

    Args:
        seconds: how often to look.
    """

    def __init__(self, plugins: Plugins, name: str, monitors: Collection[Monitor], *, seconds: float) -> None:
        self._plugins, self._name, self._monitors, self._seconds = plugins, name, tuple(monitors), seconds
        self._stop = Flag()
        self._last = -1
        self._entries: list[Event] = []
        self._thread = Thread(target=self._work, name="automl-retraining", daemon=True)
        self._thread.start()

    @classmethod
    def of_settings(cls, plugins: Plugins, monitors: Collection[Monitor], *, seconds: float) -> Follower | None:
        """Follow the model that the settings of retraining name; None where they name none, or `seconds` is 0."""
        name = plugins.settings.plugins.get("retrain", {}).get("name", "")
        return cls(plugins, str(name), monitors, seconds=seconds) if name and monitors and seconds else None

    def close(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        failed = ""
        while not self._stop.is_set():
            try:
                with self._plugins.build("storage", self._plugins.settings.storage) as storage:
                    history = History(storage, self._name)
                    while True:
                        self._look(history)
                        failed = ""
                        if self._stop.wait(self._seconds):
                            return
            except Exception as error:  # noqa: BLE001 - whatever a storage or a monitor does must not end the thread
                if repr(error) != failed:
                    log.warning("what was decided of %r cannot be told: %r", self._name, error)
                failed = repr(error)
            self._stop.wait(self._seconds)

    def _look(self, history: History) -> None:
        news = history.news(max(self._last, 0))
        if not news and self._last >= 0:
            return
        self._last = news[-1][0] if news else 0
        self._entries += [entry for _, entry in news]
        moment = self._entries[-1].time if self._entries else 0.0
        event = Event("retraining", moment, {"model": self._name, **summarise(self._entries)})
        for monitor in self._monitors:
            monitor.emit(event)


def summarise(entries: Sequence[Event]) -> dict[str, Any]:
    """Return what a journal says, oldest entry first, as plain data.

    Returns:
        `decisions`: how many entries there are by stage, 0 included. `last`: seconds since the epoch of the last one by
        stage. `in_a_row`: by stage, how many of the latest runs ended so, one that died before its end counting as
        "failed"; and how often a run was "refused" since the last one began. `comparison`: "metric", "champion" and
        "challenger" (their scores) of the last comparison of models; empty without any.
    """
    decisions, last = dict.fromkeys(STAGES, 0), {}
    for entry in entries:
        stage = entry.attributes["stage"]
        decisions[stage] = decisions.get(stage, 0) + 1
        last[stage] = entry.time
    ends = _ends(entries)
    in_a_row = dict.fromkeys((*ENDS, "rolled_back"), 0)
    for end in ends[-1:]:
        in_a_row[end] = sum(1 for _ in takewhile(end.__eq__, reversed(ends)))
    refused = takewhile(lambda entry: entry.attributes["stage"] == "refused", reversed(entries))
    compared = next((found for entry in reversed(entries) if (found := _comparison(entry.attributes))), {})
    return {
        "decisions": decisions,
        "last": last,
        "in_a_row": {**in_a_row, "refused": sum(1 for _ in refused)},
        "comparison": {key: compared[key] for key in ("metric", "champion", "challenger") if key in compared},
    }


def _ends(entries: Sequence[Event]) -> list[str]:
    """Return how runs ended, in order; one after whose start another one could begin, without its own end, failed."""
    told = [entry.attributes for entry in entries]
    ended = {one["run"] for one in told if one["stage"] in ENDS}
    refused = {one["run"] for one in told if one["stage"] == "refused"}
    began = [one["run"] for one in told if one["stage"] == "started" and one["run"] not in refused]
    dead = set(began[:-1]) - ended
    found = ["failed" if one["run"] in dead else one["stage"] for one in told if one["run"] not in refused - {""}]
    return [stage for stage in found if stage not in ("started", "refused")]


def _comparison(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the scores of champion and challenger in an entry, of the best challenger where there are several."""
    challengers: Mapping[str, Mapping[str, Any]] = told.get("challengers") or {}
    best = max(challengers.values(), key=lambda found: found["gain"], default={})
    found: Mapping[str, Any] = told.get("comparison") or challengers.get(told.get("learned", ""), best)
    return found
