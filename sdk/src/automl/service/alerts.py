"""What monitors find out: alerts and scores, handed on to other monitors, plugins and listeners."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from automl_core import AutoMLError, Event, Monitor

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["ALERTS", "Alerts", "Tells"]

ALERTS = frozenset({"drift", "degradation"})  # names of events that ask for somebody to act
KEPT = 50
log = logging.getLogger("automl.service")


@runtime_checkable
class Tells(Protocol):
    """A monitor that finds out something; it calls `on_event`, where that is set, from a thread of its own."""

    on_event: Callable[[Event], None] | None


class Alerts:
    """Tells each monitor what another one found, and raises `automl_alert_raised` for what is an alert.

    Attributes:
        latest: the last alerts of this process, oldest first.
    """

    def __init__(self, monitors: Mapping[str, Monitor], plugins: Plugins | None) -> None:
        self._monitors, self._plugins = dict(monitors), plugins
        self.latest: deque[Event] = deque(maxlen=KEPT)
        for name, monitor in self._monitors.items():
            if isinstance(monitor, Tells):
                monitor.on_event = partial(self.tell, name)

    def tell(self, origin: str, event: Event) -> None:
        """Hand on what the monitor of this name found."""
        for name, monitor in self._monitors.items():
            if name != origin:
                monitor.emit(event)
        if event.name not in ALERTS:
            return
        self.latest.append(event)
        if self._plugins is not None:
            try:
                self._plugins.emit("automl_alert_raised", alert=event)
            except AutoMLError as error:
                log.error(
                    "the alert %r of %s reached no listener: %s", event.name, event.attributes.get("model"), error
                )
