from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from automl_core import Event
from automl_local.log_monitor import LogMonitor


class Blocked(logging.Handler):
    """A handler that waits for `go`, as one does whose disk or network hangs."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.lines = threading.Event(), list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        self.go.wait(30)
        self.lines.append(record.getMessage())


@pytest.fixture
def handler() -> Iterator[Blocked]:
    handler, logger = Blocked(), logging.getLogger("test.events")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)


def test_hanging_handler_costs_events_and_no_time(handler: Blocked) -> None:
    monitor = LogMonitor(logger="test.events", queue=100)
    started = time.perf_counter()
    for number in range(1000):
        monitor.emit(Event("prediction", float(number)))
    assert time.perf_counter() - started < 10
    assert monitor.dropped >= 890
    handler.go.set()
    monitor.close()
    assert [json.loads(line)["time"] for line in handler.lines[:3]] == [0.0, 1.0, 2.0]
    assert handler.lines[-1] == f"{monitor.dropped} events were dropped: the handlers of 'test.events' are too slow"


def test_event_that_cannot_be_written_down_spares_the_others(handler: Blocked) -> None:
    circle: dict[str, object] = {}
    circle["self"] = circle
    handler.go.set()
    with LogMonitor(logger="test.events") as monitor:
        monitor.emit(Event("circular", 0.0, circle))
        monitor.emit(Event("good", 0.0))
    assert handler.lines[0] == "the event 'circular' cannot be logged"
    assert json.loads(handler.lines[1])["name"] == "good"
