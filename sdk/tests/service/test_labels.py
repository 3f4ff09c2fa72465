"""The truth of earlier requests: joined whenever and wherever it comes, and told to monitors."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from automl.service import PredictionService, ServiceOptions
from automl.service.alerts import Alerts
from automl.service.events import EventPump
from automl.service.ledger import Ledger, Prediction
from automl.service.served import serve_model
from automl_core import ComponentUnavailable, DataError, Event, Monitor, Plugins, Settings, hookimpl


class Kept(Monitor):
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.on_event: Any = None

    def emit(self, event: Event) -> None:
        self.events.append(event)


def made(request: str, *, rows: int = 1, said: Any = "yes", when: float = 100.0) -> Prediction:
    return Prediction(request, "m", "1", when, {"x": list(range(rows)), "k": ["a"] * rows}, [said] * rows)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with_file = Ledger(tmp_path / "deep" / "rows.sqlite")
    yield with_file
    with_file.close()


def test_label_joins_its_prediction_once(ledger: Ledger) -> None:
    ledger.record([made("a"), made("b", rows=3)])
    counts, joined = ledger.label([("a", ["no"]), ("b", ["yes", None, "no"]), ("b", ["no"] * 3)])
    assert counts == {"joined": 2, "waiting": 0, "twice": 1}
    assert [(one.predictions, one.truths) for one in joined] == [(["yes"], ["no"]), (["yes", "yes"], ["yes", "no"])]
    rows = ledger.labelled("m")
    assert (rows.inputs, rows.truths) == ({"x": [0, 0, 2], "k": ["a", "a", "a"]}, ["no", "yes", "no"])
    assert ledger.labelled("other").truths == ledger.labelled("m", since=101.0).truths == []


def test_label_that_is_faster_than_its_prediction_waits_for_it(ledger: Ledger) -> None:
    assert ledger.label([("a", ["no"])]) == ({"joined": 0, "waiting": 1, "twice": 0}, [])
    assert ledger.label([("a", ["no"])])[0]["twice"] == 1
    assert ledger.settle() == []
    ledger.record([made("a")])
    assert [one.truths for one in ledger.settle()] == [["no"]]
    assert ledger.settle() == []


def test_label_of_an_unknown_request_is_forgotten_and_counted(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.label([("never", ["no"])])
    later = time.time() + 3600
    monkeypatch.setattr("automl.service.ledger.time", lambda: later)
    assert ledger.settle() == []
    assert ledger.unknown == 1


def test_label_after_a_clock_was_set_back_has_no_negative_age(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.record([made("a", when=time.time())])
    earlier = time.time() - 86_400
    monkeypatch.setattr("automl.service.ledger.time", lambda: earlier)
    counts, joined = ledger.label([("a", ["yes"])])
    assert counts["joined"] == 1
    assert joined[0].age == 0


@pytest.mark.parametrize(
    ("said", "label", "kept"), [(1, "1", 1), (0, 1.0, 1), (2.5, "3", 3.0), ("yes", 1, "1"), (True, False, False)]
)
def test_labels_take_the_type_of_predictions(ledger: Ledger, said: Any, label: Any, kept: Any) -> None:
    ledger.record([made("a", said=said)])
    _, (joined,) = ledger.label([("a", [label])])
    assert joined.truths == [kept]
    assert type(joined.truths[0]) is type(kept)


@pytest.mark.parametrize("wrong", [["no", "no"], []], ids=["too many", "none"])
def test_labels_that_do_not_fit_are_refused_as_a_whole(ledger: Ledger, wrong: list[str]) -> None:
    ledger.record([made("a"), made("b")])
    with pytest.raises(DataError, match="'b' had 1 rows"):
        ledger.label([("a", ["no"]), ("b", wrong)])
    assert ledger.labelled("m").truths == []


def test_label_that_is_no_number_is_refused_where_numbers_are_predicted(ledger: Ledger) -> None:
    ledger.record([made("a", said=1.5)])
    with pytest.raises(DataError, match="is no number"):
        ledger.label([("a", ["high"])])


def test_oldest_requests_go_first(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "rows", limit=5)
    for number in range(8):
        ledger.record([made(str(number))])
    counts, _ = ledger.label([(str(number), ["yes"]) for number in range(8)])
    assert counts == {"joined": 5, "waiting": 3, "twice": 0}
    ledger.close()


def test_workers_share_a_ledger(tmp_path: Path) -> None:
    ledgers = [Ledger(tmp_path / "rows") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: ledgers[n % 4].record([made(f"{n}-{i}") for i in range(20)]), range(40)))
        counts = list(threads.map(lambda n: ledgers[(n + 1) % 4].label([(f"{n}-0", ["no"])])[0]["joined"], range(40)))
    assert counts == [1] * 40
    assert len(ledgers[0].labelled("m").truths) == 40


def test_workers_that_start_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """Where one writes to the new file, another cannot change its mode yet; SQLite gives up at once there."""
    first = sqlite3.connect(tmp_path / "rows", isolation_level=None, check_same_thread=False)
    first.execute("CREATE TABLE other (id)")
    first.execute("BEGIN IMMEDIATE")
    later = Timer(0.3, first.close)
    later.start()
    with closing(Ledger(tmp_path / "rows")) as ledger:
        ledger.record([made("a")])
    later.join()


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("no database, " * 100)
    with pytest.raises(ComponentUnavailable, match="rows"):
        Ledger(tmp_path / "rows").record([made("a")])


# ---- in a service


def serve(model: Any, path: Path | None, monitor: Monitor | None = None, **options: Any) -> PredictionService:
    service = PredictionService(options=ServiceOptions(ledger=str(path or ""), **options))
    service.add(model, version="1")
    service.start()
    if monitor is not None and service._pump is not None:
        service._pump._monitors = (monitor,)
    return service


def test_ledger_keeps_what_monitors_see_no_more(model: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    with serve(model, tmp_path / "rows", sample_rows=2) as service:
        for number in range(20):
            service.predict(rows[number], request_id=str(number))
    with closing(Ledger(tmp_path / "rows")) as ledger:
        assert ledger.label([(str(number), ["yes"]) for number in range(20)])[0]["joined"] == 20


def test_service_tells_monitors_what_was_true(model: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    monitor = Kept()
    with serve(model, tmp_path / "rows", monitor) as service:
        said = service.predict(rows[:3], request_id="many").labels.tolist()
        service.predict(rows[0], request_id="one")
        service.predict(rows[0])
        assert service.label({"many": ["yes"] * 3, "one": "no"}).keys() == {"joined", "waiting", "twice"}
    with sqlite3.connect(tmp_path / "rows") as file:
        assert file.execute("SELECT count(*) FROM requests").fetchone() == (2,)
    told = [event.attributes for event in monitor.events if event.name == "label"]
    truths = [value for attributes in told for value in attributes["truths"]]
    assert sorted(truths) == ["no", "yes", "yes", "yes"]
    predictions = [value for attributes in told for value in attributes["predictions"]]
    assert predictions in ([*said, said[0]], [said[0], *said])


def test_service_without_a_ledger_says_so(model: Any) -> None:
    with serve(model, None) as service, pytest.raises(DataError, match="ledger"):
        service.label({"a": 1})


def test_ledger_that_fails_costs_no_prediction(model: Any, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("no database, " * 100)
    with serve(model, tmp_path / "rows") as service:
        assert service.predict(rows[0], request_id="a").rows == 1
    assert service.counters.totals()["dropped_events"] == 1


def test_alerts_reach_other_monitors_and_listeners() -> None:
    heard = []

    class Listener:
        @hookimpl
        def automl_alert_raised(self, alert: Event) -> None:
            heard.append(alert.name)

    plugins = Plugins(Settings())
    plugins.listen(Listener(), "mine")
    one, other = Kept(), Kept()
    alerts = Alerts({"one": one, "other": other}, plugins)
    for name in ("score", "drift", "degradation"):
        one.on_event(Event(name, 0.0, {"model": "m"}))
    assert one.events == []
    assert [event.name for event in other.events] == ["score", "drift", "degradation"]
    assert heard == [event.name for event in alerts.latest] == ["drift", "degradation"]


def test_monitors_hear_of_versions_before_their_first_request_and_when_they_leave(model: Any, make_model: Any) -> None:
    monitor = Kept()
    service = PredictionService()
    service.add(model, version="1")
    pump = EventPump([monitor], limit=10, sample_rows=10, dropped=lambda _: None, models=service.models)
    (old,) = service.models()
    new = serve_model("model", make_model(slope=0.2), "2")
    for step in ((old, new), (new, old)):
        pump._flush()
        service.replace(*step)
    pump.close()
    told = [(event.name, event.attributes["version"]) for event in monitor.events]
    assert told == [
        ("model", "1"), ("model", "2"), ("retired", "1"), ("model", "1"), ("retired", "2"),
    ]  # fmt: skip
