"""The monitor `drift`, from events to alerts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Event
from automl_core.testing import MonitorConformance
from automl_drift.compare import compare
from automl_drift.monitor import DriftMonitor
from automl_drift.quality import violations

# The format is read by its own library, which this plugin does not need.
parser = pytest.importorskip("prometheus_client.parser")

RANDOM = np.random.default_rng(0)
EDGES = np.quantile(RANDOM.normal(size=5000), np.linspace(0, 1, 21)).tolist()
SCHEMA = {
    "rows": 5000,
    "inputs": [
        {"name": 'the "x"\\', "kind": "number", "statistics": {"edges": EDGES, "counts": [250] * 20}},
        {"name": "k", "kind": "category", "statistics": {"levels": ["a", "b"], "level_counts": [2500, 2500]}},
    ],
}


class TestConformance(MonitorConformance):
    @pytest.fixture
    def monitor(self) -> DriftMonitor:
        return DriftMonitor()


def announce(monitor: DriftMonitor, model: str = "m", version: str = "1") -> None:
    monitor.emit(Event("model", time.time(), {"model": model, "version": version, "schema": SCHEMA}))


def predict(monitor: DriftMonitor, shift: float, *, seed: int = 0, model: str = "m", rows: int = 100) -> None:
    random = np.random.default_rng(seed)
    columns = {'the "x"\\': random.normal(size=rows) + shift, "k": random.choice(["a", "b"], rows).tolist()}
    monitor.emit(Event("prediction", time.time(), {"model": model, "version": "1", "inputs": columns}))


def test_traffic_that_drifts_raises_one_alert_that_names_the_feature() -> None:
    alerts: list[Event] = []
    with DriftMonitor(interval=60) as monitor:
        monitor.on_event = alerts.append
        announce(monitor)
        for seed in range(40):
            predict(monitor, 0.0, seed=seed)
            monitor.flush()
        assert not alerts
        for seed in range(40, 50):
            predict(monitor, 1.0, seed=seed)
            monitor.flush()
    assert [alert.attributes["drifted"] for alert in alerts] == [['the "x"\\']]


def test_metrics_are_valid_for_several_models() -> None:
    with DriftMonitor(interval=60) as monitor:
        for model in ("m", "n"):
            announce(monitor, model)
            predict(monitor, 2.0 if model == "n" else 0.0, model=model, rows=1000)
        monitor.flush()
        kind, body = monitor.expose()
    assert kind.startswith("text/plain")
    families = {family.name: family.samples for family in parser.text_string_to_metric_families(body.decode())}
    assert {s.labels["model"]: s.value for s in families["automl_drift_alarm"]} == {"m": 0, "n": 1}
    assert {s.labels["feature"] for s in families["automl_drift_score"]} == {'the "x"\\', "k"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({'the "x"\\': [None] * 500 + [0.0] * 500}, {('the "x"\\', "missing"): 0.5}, id="missing"),
        pytest.param(
            {'the "x"\\': [99.0] * 250 + [0.0] * 750}, {('the "x"\\', "out_of_range"): 0.25}, id="out of range"
        ),
        pytest.param({"k": ["a", "new"] * 500}, {("k", "unseen"): 0.5}, id="unseen"),
    ],
)
def test_faults_of_a_feed_are_exposed_by_feature_and_check(change: dict[str, Any], expected: dict[Any, float]) -> None:
    columns = {'the "x"\\': np.random.default_rng(1).normal(size=1000), "k": ["a", "b"] * 500, **change}
    with DriftMonitor(interval=60) as monitor:
        announce(monitor)
        monitor.emit(Event("prediction", time.time(), {"model": "m", "version": "1", "inputs": columns}))
        monitor.flush()
        families = {f.name: f.samples for f in parser.text_string_to_metric_families(monitor.expose()[1].decode())}
    found = {
        (sample.labels["feature"], sample.labels["check"]): sample.value
        for sample in families["automl_data_quality_violation_ratio"]
    }
    assert len(found) == 4
    assert {key: share for key, share in found.items() if share > 0.01} == pytest.approx(expected, abs=0.01)


def test_dates_after_the_last_one_of_the_reference_are_no_fault() -> None:
    statistics = {"edges": [0.0, 1e9], "counts": [1000]}
    schema = {"rows": 1000, "inputs": [{"name": "day", "kind": "datetime", "statistics": statistics}]}
    report = compare(schema, {"day": [2e9] * 90 + [None] * 10})
    assert violations(report.findings[0]) == pytest.approx({"missing": 0.1})


def test_each_version_is_watched_on_its_own() -> None:
    with DriftMonitor(interval=60) as monitor:
        announce(monitor)
        predict(monitor, 3.0, rows=1000)
        announce(monitor, version="2")
        monitor.flush()
        assert {version: report.status for (_, version), report in monitor.reports().items()} == {
            "1": "drift",
            "2": "not enough data",
        }


def test_versions_of_long_ago_are_forgotten() -> None:
    with DriftMonitor(interval=60) as monitor:
        for version in range(40):
            announce(monitor, version=str(version))
        monitor.flush()
        assert [version for _, version in monitor.reports()] == [str(version) for version in range(24, 40)]


@pytest.mark.parametrize(
    "attributes",
    [
        {"model": "unknown", "version": "1", "inputs": {"k": ["a"]}},
        {"model": "m", "version": "1", "inputs": {"k": ["a"], 'the "x"\\': [1.0, 2.0]}},
        {"model": "m", "version": "1", "inputs": {"k": 7}},
        {"model": "m", "version": "1", "inputs": [1]},
        {"inputs": {"k": ["a"]}},
    ],
)
def test_events_that_cannot_be_read_are_dropped_and_counted(attributes: dict[str, object]) -> None:
    with DriftMonitor(interval=60) as monitor:
        announce(monitor)
        monitor.emit(Event("prediction", 0.0, attributes))
        monitor.flush()
        assert monitor.dropped == 1
        predict(monitor, 0.0, rows=200)
        monitor.flush()
        assert monitor.reports()["m", "1"].rows == 200


def test_full_queue_drops_and_counts() -> None:
    with DriftMonitor(interval=60, queue=5) as monitor:
        for _ in range(8):
            monitor.emit(Event("other", 0.0))
        assert monitor.dropped == 3


def test_failing_listener_of_alerts_costs_nothing() -> None:
    def fail(_: Event) -> None:
        raise RuntimeError("down")

    with DriftMonitor(interval=60) as monitor:
        monitor.on_event = fail
        announce(monitor)
        predict(monitor, 3.0, rows=1000)
        monitor.flush()
        assert monitor.reports()["m", "1"].status == "drift"


@pytest.mark.parametrize("shared", [False, True], ids=["one worker", "of several"])
def test_dropped_events_are_counted_by_all_workers(shared: bool, tmp_path: Path) -> None:
    if shared:
        (tmp_path / "1.dropped").write_text("2")  # by a worker that is dead
    directory = str(tmp_path) if shared else ""
    with DriftMonitor(interval=60, queue=3, directory=directory) as monitor:
        announce(monitor)
        monitor.flush()
        assert f"automl_drift_dropped_events_total {2 * shared}\n" in monitor.expose()[1].decode()
        for _ in range(8):
            monitor.emit(Event("prediction", 0.0, {"model": "m", "version": "1"}))
        monitor.flush()
        text = monitor.expose()[1].decode()
    assert f"automl_drift_dropped_events_total {5 + 2 * shared}\n" in text
    families = {family.name: family.type for family in parser.text_string_to_metric_families(text)}
    assert families["automl_drift_dropped_events"] == "counter"


WORKER = """
import sys, time, json
from automl_core import Event
from automl_drift.monitor import DriftMonitor
with DriftMonitor(interval=60, directory=sys.argv[1]) as monitor:
    for name, attributes in json.load(sys.stdin):
        monitor.emit(Event(name, time.time(), attributes))
"""


def run_worker(directory: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    columns = {'the "x"\\': random.normal(size=500).tolist(), "k": random.choice(["a", "b"], 500).tolist()}
    events = [
        ("model", {"model": "m", "version": "1", "schema": SCHEMA}),
        ("prediction", {"model": "m", "version": "1", "inputs": columns}),
    ]
    subprocess.run([sys.executable, "-c", WORKER, str(directory)], input=json.dumps(events), text=True, check=True)


def test_workers_put_their_counts_together_and_the_next_leader_goes_on(tmp_path: Path) -> None:
    for seed in range(2):
        run_worker(tmp_path, seed)
    with (
        DriftMonitor(interval=60, directory=str(tmp_path)) as leader,
        DriftMonitor(interval=60, directory=str(tmp_path)) as other,
    ):
        for monitor in (leader, other):
            announce(monitor)
            monitor.flush()
        predict(leader, 0.0, seed=7, rows=500)
        leader.flush()
        assert leader.reports()["m", "1"].rows == 1500
        assert other.reports() == {}
        assert other.expose() == leader.expose()


def test_plugin_loads_no_library() -> None:
    code = "import sys, automl_drift.plugin; sys.exit(any(m in sys.modules for m in ('numpy', 'scipy', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def score(monitor: DriftMonitor, right: int, wrong: int) -> None:
    told = {
        "model": "m",
        "version": "1",
        "predictions": ["a"] * (right + wrong),
        "truths": ["a"] * right + ["b"] * wrong,
    }
    monitor.emit(Event("label", time.time(), told))


@pytest.mark.parametrize("schema", [SCHEMA, None], ids=["with a schema", "without"])
def test_labels_that_show_a_worse_score_raise_one_alert(schema: dict[str, object] | None) -> None:
    events: list[Event] = []
    with DriftMonitor(interval=60) as monitor:
        monitor.on_event = events.append
        told = {"model": "m", "version": "1", "schema": schema, "scores": {"accuracy": 0.9, "other": 1.0}}
        monitor.emit(Event("model", time.time(), told))
        for _ in range(20):
            score(monitor, 45, 5)
            monitor.flush()
        assert {event.name for event in events} == {"score"}
        assert events[-1].attributes["value"] == pytest.approx(0.9)
        for _ in range(20):
            score(monitor, 25, 25)
            monitor.flush()
        assert [event.name for event in events].count("degradation") == 1
        monitor.repeat = 0.0
        monitor.flush()
        assert [event.name for event in events].count("degradation") == 2
        assert monitor.scores()["m", "1"].degraded
        assert monitor.summary()[0]["performance"]["rows"] == 2000
        families = {f.name: f.samples for f in parser.text_string_to_metric_families(monitor.expose()[1].decode())}
        assert families["automl_performance_alarm"][0].value == 1
        assert families["automl_performance_baseline"][0].labels["metric"] == "accuracy"


def test_baseline_that_leaves_no_worse_score_still_watches_drift() -> None:
    with DriftMonitor(interval=60) as monitor:
        told = {"model": "m", "version": "1", "schema": SCHEMA, "scores": {"accuracy": 0.01}}
        monitor.emit(Event("model", time.time(), told))
        predict(monitor, 3.0, rows=1000)
        score(monitor, 1, 1)
        monitor.flush()
        assert (monitor.reports()["m", "1"].status, monitor.scores(), monitor.dropped) == ("drift", {}, 0)


def test_labels_of_any_worker_reach_the_leader_and_the_next_one(tmp_path: Path) -> None:
    told = {"model": "m", "version": "1", "schema": SCHEMA, "scores": {"accuracy": 0.9}}
    with (
        DriftMonitor(interval=60, directory=str(tmp_path)) as leader,
        DriftMonitor(interval=60, directory=str(tmp_path)) as other,
    ):
        for monitor in (leader, other):
            monitor.emit(Event("model", time.time(), told))
            monitor.flush()
        score(other, 10, 30)
        other.flush()
        leader.flush()
        assert leader.scores()["m", "1"].rows == 40
        assert other.summary() == leader.summary()
        state = leader.scores()
    with DriftMonitor(interval=60, directory=str(tmp_path)) as later:
        later.emit(Event("model", time.time(), told))
        later.flush()
        assert later.scores() == state


def test_version_that_left_service_is_no_longer_told_of_and_starts_anew(tmp_path: Path) -> None:
    with DriftMonitor(interval=60, directory=str(tmp_path)) as monitor:
        announce(monitor)
        predict(monitor, 3.0, rows=1000)
        monitor.flush()
        assert monitor.reports()["m", "1"].status == "drift"
        monitor.emit(Event("retired", time.time(), {"model": "m", "version": "1"}))
        monitor.flush()
        assert (monitor.reports(), monitor.expose()[1]) == ({}, b"")
        announce(monitor)
        monitor.flush()
        assert monitor.reports()["m", "1"].rows == 0
