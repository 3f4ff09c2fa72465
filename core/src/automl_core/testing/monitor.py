"""What every monitor must do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from automl_core.kinds import Monitor
from automl_core.powers import Exposes
from automl_core.records import Event
from automl_core.testing.conformance import Conformance, at_once

__all__ = ["MonitorConformance"]

ODD_ATTRIBUTES = [
    {"loss": float("nan")},
    {"text": "größe 数据 \x00 " * 500},
    {"object": object()},
    {"deep": {"a": [1]}},
]


class MonitorConformance(Conformance):
    """Override the fixture `monitor`; and `received` where what arrived can be read back."""

    @pytest.fixture
    def monitor(self) -> Monitor:
        raise NotImplementedError("override the fixture `monitor`")

    @pytest.fixture
    def received(self) -> Callable[[], Sequence[Event]] | None:
        """Return a function that lists, once `monitor` is closed, the events that arrived; None where none can."""
        return None

    def test_emit_does_not_wait(self, monitor: Monitor) -> None:
        event = Event("prediction", time.time(), {"rows": 1})
        started = time.perf_counter()
        for _ in range(200):
            monitor.emit(event)
        assert (time.perf_counter() - started) / 200 < 0.005

    @pytest.mark.parametrize("attributes", ODD_ATTRIBUTES, ids=["nan", "text", "object", "nested"])
    def test_odd_attributes_do_not_raise(self, monitor: Monitor, attributes: dict[str, object]) -> None:
        monitor.emit(Event("odd", time.time(), attributes))
        monitor.close()

    def test_unknown_event_does_not_raise(self, monitor: Monitor) -> None:
        monitor.emit(Event("an event of a later version", 0.0))
        monitor.close()

    def test_threads_may_emit_at_once(self, monitor: Monitor) -> None:
        at_once(8, lambda me: [monitor.emit(Event("prediction", time.time(), {"rows": me})) for _ in range(50)])
        monitor.close()

    def test_events_arrive_as_they_were_by_the_time_it_is_closed(
        self, monitor: Monitor, received: Callable[[], Sequence[Event]] | None
    ) -> None:
        if received is None:
            pytest.skip("what arrives cannot be read back")
        events = [Event("prediction", 1000.0 + number, {"rows": number, "model": "größe"}) for number in range(3)]
        for event in events:
            monitor.emit(event)
        monitor.close()
        assert list(received()) == events

    def test_scrape_is_answered(self, monitor: Monitor) -> None:
        if not isinstance(monitor, Exposes):
            pytest.skip("this monitor answers no scrape")
        monitor.emit(Event("prediction", time.time(), {"rows": 1}))
        content_type, body = monitor.expose()
        assert "/" in content_type
        assert isinstance(body, bytes)

    def test_emit_after_close_does_not_raise(self, monitor: Monitor) -> None:
        with monitor as entered:
            assert entered is monitor
        monitor.close()
        monitor.emit(Event("late", time.time()))
