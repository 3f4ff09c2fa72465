"""What a real OTLP/HTTP receiver gets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from automl_core import Context, Event, Monitor, SettingsError, Study, Tracker, Trial, TrialState
from automl_core.testing import MonitorConformance, PluginConformance, TrackerConformance

pytest.importorskip("automl_opentelemetry")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from automl_opentelemetry.plugin import build_monitor, build_tracker

STUDY = Study(id="s1", task="binary", metric="auc", rows=9, columns=2, seed=0, folds=3, learners=("linear", "trees"))


def context(url: str, **block: Any) -> Context:
    return Context("opentelemetry", {"endpoint": url, "interval": 60, "timeout": 20, **block})


@pytest.fixture
def monitor(receiver: Any) -> Iterator[Monitor]:
    with build_monitor(context(receiver.url)) as built:
        yield built


@pytest.fixture
def tracker(receiver: Any) -> Iterator[Tracker]:
    with build_tracker(context(receiver.url)) as built:
        yield built


class TestPlugin(PluginConformance):
    plugin = "opentelemetry"
    settings = {"endpoint": "http://127.0.0.1:9", "timeout": 0.2}


class TestMonitor(MonitorConformance):
    @pytest.fixture
    def monitor(self, monitor: Monitor) -> Monitor:
        return monitor


class TestTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, tracker: Tracker) -> Tracker:
        return tracker

    @pytest.fixture
    def recorded(self, receiver: Any) -> Callable[[], Sequence[Trial]]:
        def read() -> list[Trial]:
            spans = [receiver.plain(span.attributes) for span in receiver.spans() if span.name == "trial"]
            trials = [
                Trial(
                    one["automl.trial.id"],
                    one["automl.learner"],
                    {},
                    state=TrialState(one["automl.trial.state"]),
                    loss=one.get("automl.trial.loss"),
                )
                for one in spans
            ]
            return list({trial.id: trial for trial in trials}.values())  # the later one holds

        return read


def test_predictions_arrive_as_sums_by_model_and_version(receiver: Any, monitor: Monitor) -> None:
    told = {"model": "m", "version": "1", "requests": 2, "rows": 30, "hits": 4, "seconds": [0.002, 0.2]}
    for _ in range(3):
        monitor.emit(Event("prediction", time.time(), told))
    monitor.emit(Event("prediction", time.time(), {**told, "shadow": True}))
    monitor.close()
    points = receiver.points()
    assert [points[name][0].as_int for name in ("automl.requests", "automl.predictions", "automl.cache.hits")] == [
        6,
        90,
        12,
    ]
    (duration,) = points["automl.request.duration"]
    assert (duration.count, round(duration.sum, 6)) == (6, 0.606)
    assert [count for count in duration.bucket_counts if count] == [3, 3]
    assert receiver.plain(duration.attributes) == {"automl.model.name": "m", "automl.model.version": "1"}


def test_errors_scores_and_alerts_arrive(receiver: Any, monitor: Monitor) -> None:
    monitor.emit(Event("failure", 0.0, {"model": "m", "errors": {"Overloaded": 2, "400": 5}}))
    monitor.emit(Event("score", 0.0, {"model": "m", "metric": "auc", "value": 0.75}))
    monitor.emit(Event("drift", 0.0, {"model": "m", "features": ["age"]}))
    monitor.emit(Event("failure", 0.0, {"errors": "no counts at all"}))
    monitor.close()
    points = receiver.points()
    errors = {receiver.plain(point.attributes)["error.type"]: point.as_int for point in points["automl.errors"]}
    assert errors == {"Overloaded": 2, "400": 5}
    assert [point.as_double for point in points["automl.model.score"]] == [0.75]
    assert [receiver.plain(point.attributes)["automl.alert.kind"] for point in points["automl.alerts"]] == ["drift"]


def test_metrics_are_sent_while_the_monitor_is_open(receiver: Any) -> None:
    with build_monitor(context(receiver.url, interval=0.05)) as monitor:
        monitor.emit(Event("prediction", 0.0, {"model": "m", "seconds": [0.1]}))
        assert receiver.came.wait(30)


def test_receiver_that_hangs_keeps_no_emit_waiting(receiver: Any) -> None:
    with build_monitor(context(receiver.url, interval=0.05)) as monitor:
        receiver.answers.clear()
        monitor.emit(Event("prediction", 0.0, {"model": "m", "seconds": [0.1]}))
        assert receiver.came.wait(30)
        for _ in range(500):
            monitor.emit(Event("prediction", 0.0, {"model": "m", "seconds": [0.1]}))
        assert not receiver.metrics, "every emit returned before the receiver answered anything"
        receiver.answers.set()
    assert receiver.points()["automl.requests"][0].as_int == 501


def test_dead_receiver_costs_log_lines_only(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with build_monitor(context(url, timeout=0.3)) as monitor, build_tracker(context(url, timeout=0.3)) as tracker:
            monitor.emit(Event("prediction", 0.0, {"model": "m", "seconds": [0.1]}))
            tracker.start(STUDY)
            tracker.log(Trial(0, "linear", {}).with_result(TrialState.COMPLETE, loss=0.5))
            tracker.finish()
    assert any(record.levelname == "ERROR" for record in caplog.records)


def test_study_is_a_trace_of_trials(receiver: Any, tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>")
    tracker.start(STUDY)
    good = Trial(0, "linear", {"c": 0.5, "penalty": None}).with_result(
        TrialState.COMPLETE, loss=0.25, seconds=1.5, metrics={"auc": 0.75}
    )
    tracker.log(good)
    tracker.log(Trial(1, "trees", {}).with_result(TrialState.FAILED, error="ValueError: no"))
    tracker.artifact("report.html", tmp_path / "report.html")
    tracker.finish()
    tracker.close()
    spans = {span.name: span for span in receiver.spans()}
    first = next(span for span in receiver.spans() if receiver.plain(span.attributes).get("automl.trial.id") == 0)
    study = spans["study"]
    assert receiver.plain(study.attributes)["automl.study.id"] == "s1"
    assert [event.name for event in study.events] == ["artifact"]
    assert {span.trace_id for span in receiver.spans()} == {study.trace_id}
    assert first.parent_span_id == spans["trial"].parent_span_id == study.span_id
    assert first.end_time_unix_nano - first.start_time_unix_nano == 1_500_000_000
    told = receiver.plain(first.attributes)
    assert (told["automl.params.c"], told["automl.metrics.auc"], told["automl.trial.loss"]) == (0.5, 0.75, 0.25)
    assert "automl.params.penalty" not in told
    assert (spans["trial"].status.code, spans["trial"].status.message) == (2, "ValueError: no")
    counted = {
        receiver.plain(point.attributes)["automl.trial.state"]: point.as_int
        for point in receiver.points()["automl.trials"]
    }
    assert counted == {"complete": 1, "failed": 1}


def test_study_that_failed_says_why(receiver: Any, tracker: Tracker) -> None:
    tracker.start(STUDY)
    tracker.finish(RuntimeError("out of luck"))
    tracker.close()
    (study,) = receiver.spans()
    assert (study.status.code, study.status.message) == (2, "RuntimeError: out of luck")


def test_headers_and_names_go_along_and_instances_differ(receiver: Any) -> None:
    block = {"headers": {"x-token": "t0p"}, "service_name": "prices"}
    for _ in range(2):
        with build_monitor(context(receiver.url, **block)) as monitor:
            monitor.emit(Event("prediction", 0.0, {"model": "m"}))
    assert {headers["x-token"] for headers in receiver.headers} == {"t0p"}
    assert {resource["service.name"] for resource in receiver.resources} == {"prices"}
    assert len({resource["service.instance.id"] for resource in receiver.resources}) == 2


def test_wrong_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="INTERVAL"):
        build_monitor(Context("opentelemetry", {"interval": 0}))
