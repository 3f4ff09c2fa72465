"""Metrics as a scrape sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from automl_core import DataError, Event, Plugins, SettingsError, Study, Trial, TrialState
from automl_core.settings import load_settings
from automl_core.testing import MonitorConformance
from automl_prometheus.collector import BUCKETS, MetricsCollector
from automl_prometheus.monitor import PrometheusMonitor


class TestConformance(MonitorConformance):
    @pytest.fixture
    def monitor(self) -> PrometheusMonitor:
        return PrometheusMonitor()


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return the value of each sample by name and its labels but "model"."""
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k != "model")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_guides_example() -> None:
    metrics = MetricsCollector()
    metrics.record_request(model_id="v1.2.3", latency=0.015, status="success", num_predictions=32)
    found = samples(metrics.export_metrics())
    assert found["automl_requests_total", ""] == 1
    assert found["automl_errors_total", ""] == 0
    assert found["automl_predictions_total", ""] == 32
    assert found["automl_request_latency_seconds_bucket", "le=0.01"] == 0
    assert found["automl_request_latency_seconds_bucket", "le=0.025"] == 1


@pytest.mark.parametrize(
    ("status", "errors"),
    [("success", 0), ("OK", 0), (200, 0), ("404", 0), (500, 1), ("503", 1), ("error", 1), ("timeout", 1)],
)
def test_errors_are_those_of_the_service(status: str | int, errors: int) -> None:
    metrics = MetricsCollector()
    metrics.record_request("m", 0.01, status)
    assert samples(metrics.export_metrics())["automl_errors_total", ""] == errors


@pytest.mark.parametrize(("latency", "rows"), [(-1.0, 1), (float("nan"), 1), (0.1, -1)])
def test_impossible_requests_are_refused(latency: float, rows: int) -> None:
    metrics = MetricsCollector()
    with pytest.raises(DataError):
        metrics.record_request("m", latency, num_predictions=rows)
    assert ("automl_requests_total", "") not in samples(metrics.export_metrics())


def test_events_become_metrics() -> None:
    monitor = PrometheusMonitor()
    monitor.emit(Event("model", 100.0, {"model": "m", "version": "3", "scores": {"accuracy": 0.9}}))
    monitor.emit(Event("prediction", 101.0, {"model": "m", "seconds": [0.002, 0.02], "rows": 4, "hits": 3}))
    monitor.emit(Event("prediction", 101.0, {"model": "m", "seconds": [0.0], "rows": 4, "shadow": True}))
    monitor.emit(Event("failure", 101.0, {"model": "m", "errors": {"Overloaded": 3, "DataError": 4}}))
    monitor.emit(Event("drift", 102.0, {"model": "m"}))
    monitor.emit(Event("prediction", 103.0, {"rows": "no model"}))
    kind, body = monitor.expose()
    found = samples(body.decode())
    assert kind.startswith("text/plain; version=0.0.4")
    assert found["automl_model_score", "metric=accuracy"] == 0.9
    assert found["automl_model_loaded_timestamp_seconds", "version=3"] == 100
    assert (found["automl_cache_hits_total", ""], found["automl_cache_misses_total", ""]) == (3, 1)
    assert (found["automl_requests_total", ""], found["automl_errors_total", ""]) == (9, 3)
    assert (found["automl_request_latency_seconds_count", ""], found["automl_predictions_total", ""]) == (2, 4)
    assert found["automl_alerts_total", "kind=drift"] == 1
    assert found["automl_monitor_dropped_events_total", ""] == 1


def test_counters_exist_at_zero_once_a_model_is_served() -> None:
    metrics = MetricsCollector()
    metrics.set_model("m", "1", 0.0)
    found = samples(metrics.export_metrics())
    for name in ("requests", "errors", "cache_hits", "cache_misses", "predictions"):
        assert found[f"automl_{name}_total", ""] == 0


def test_many_latencies_at_once_are_counted_as_one_by_one() -> None:
    together, alone = MetricsCollector(), MetricsCollector()
    latencies = [*BUCKETS, 0.0, 7.0, *(bound * factor for bound in BUCKETS for factor in (0.999, 1.001))]
    together.record_requests("m", latencies, len(latencies))
    for latency in latencies:
        alone.record_request("m", latency)
    said, expected = (samples(collector.export_metrics()) for collector in (together, alone))
    assert len([name for name, _ in said if name.endswith("_bucket")]) == len(BUCKETS) + 1
    assert {key: value for key, value in said.items() if not key[0].endswith("_created")} == {
        key: pytest.approx(value) for key, value in expected.items() if not key[0].endswith("_created")
    }


def test_many_models_do_not_make_many_series() -> None:
    metrics = MetricsCollector()
    for number in range(500):
        metrics.record_request(f"m{number}", 0.01)
    families = {f.name: f.samples for f in text_string_to_metric_families(metrics.export_metrics())}
    counts = {s.labels["model"]: s.value for s in families["automl_requests"] if s.name.endswith("_total")}
    assert len(counts) == 101
    assert counts["other"] == 400


WORKER = """
import os, sys
from automl_prometheus.collector import MetricsCollector
metrics = MetricsCollector()
for _ in range(int(sys.argv[1])):
    metrics.record_request("m", 0.02)
metrics.set_score("m", "accuracy", float(sys.argv[2]))
if sys.argv[3:] == ["print"]:
    print(metrics.export_metrics())
else:
    print(os.getpid())
"""


def worker(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", WORKER, *arguments]
    done = subprocess.run(
        command, env={"PROMETHEUS_MULTIPROC_DIR": str(directory)}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_many_workers_give_one_answer_and_dead_ones_one_file(tmp_path: Path) -> None:
    from automl_prometheus.workers import bury, clear

    (tmp_path / "counter_1.db").write_bytes(b"left by an earlier server")
    clear(tmp_path)
    dead = [int(worker(tmp_path, "3", "0.5")) for _ in range(3)]
    before = samples(worker(tmp_path, "1", "0.7", "print"))
    for process in dead:
        bury(process, tmp_path)
    after = samples(worker(tmp_path, "1", "0.8", "print"))
    assert before["automl_requests_total", ""] == 10
    assert after["automl_requests_total", ""] == 11
    assert after["automl_request_latency_seconds_count", ""] == 11
    assert after["automl_request_latency_seconds_bucket", "le=0.025"] == 11
    assert after["automl_model_score", "metric=accuracy"] == 0.8
    assert not [path for path in tmp_path.glob("counter_*.db") if path.stem.split("_")[1] in map(str, dead)]


def retraining(rejected: int, champion: float = 0.8) -> Event:
    told = {
        "model": "m",
        "decisions": {"rejected": rejected, "promoted": 0},
        "last": {"rejected": 100.0 + rejected} if rejected else {},
        "in_a_row": {"rejected": rejected, "failed": 0},
        "comparison": {"metric": "accuracy", "champion": champion, "challenger": 0.75} if rejected else {},
    }
    return Event("retraining", 100.0 + rejected, told)


def test_journal_of_retraining_becomes_metrics() -> None:
    monitor = PrometheusMonitor()
    monitor.emit(retraining(0))
    before = samples(monitor.expose()[1].decode())
    assert before["automl_retrain_decisions_total", "outcome=rejected"] == 0
    assert not [name for name, _ in before if name.endswith(("champion_score", "last_decision_timestamp_seconds"))]
    for _ in range(2):  # told again, as by a server that starts anew
        monitor.emit(retraining(2))
    text = monitor.expose()[1].decode()
    found = samples(text)
    assert "# TYPE automl_retrain_decisions_total counter" in text
    assert found["automl_retrain_decisions_total", "outcome=rejected"] == 2
    assert found["automl_retrain_decisions_total", "outcome=promoted"] == 0
    assert found["automl_retrain_last_decision_timestamp_seconds", "outcome=rejected"] == 102
    assert found["automl_retrain_in_a_row", "outcome=rejected"] == 2
    assert found["automl_retrain_champion_score", "metric=accuracy"] == 0.8
    assert found["automl_retrain_challenger_score", "metric=accuracy"] == 0.75


FOLLOWER = """
import json, sys
from automl_core import Event
from automl_prometheus.monitor import PrometheusMonitor
monitor = PrometheusMonitor()
monitor.emit(Event("retraining", 0.0, json.loads(sys.argv[1])))
print(monitor.expose()[1].decode())
"""


def test_workers_that_read_one_journal_do_not_add_up(tmp_path: Path) -> None:
    for rejected in (2, 3, 1):  # the last one has not read the latest yet
        command = [sys.executable, "-c", FOLLOWER, json.dumps(dict(retraining(rejected).attributes))]
        ours = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        text = subprocess.run(command, env=ours, capture_output=True, text=True, check=True).stdout
    found = samples(text)
    assert "# TYPE automl_retrain_decisions_total counter" in text
    assert found["automl_retrain_decisions_total", "outcome=rejected"] == 3
    assert found["automl_retrain_last_decision_timestamp_seconds", "outcome=rejected"] == 103


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)")
def test_promtool_finds_nothing_to_criticise() -> None:
    monitor = PrometheusMonitor()
    monitor.emit(Event("model", time.time(), {"model": 'odd "name"\n', "version": "1"}))
    monitor.emit(retraining(1))
    done = subprocess.run(["promtool", "check", "metrics"], input=monitor.expose()[1], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_plugin_loads_no_library() -> None:
    code = "import sys, automl_prometheus.plugin; sys.exit(any(m in sys.modules for m in ('prometheus_client', 'pydantic')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


STUDY = Study("s", "binary", "roc_auc", rows=900, columns=3, seed=0, folds=5, target="bought")


def follow(path: Path, monkeypatch: pytest.MonkeyPatch, *trials: Trial, error: Exception | None = None) -> str:
    monkeypatch.setenv("AUTOML_LISTENERS", "prometheus")
    monkeypatch.setenv("AUTOML_PLUGINS__PROMETHEUS__TEXTFILE", str(path))
    plugins = Plugins(load_settings())
    plugins.emit("automl_study_started", study=STUDY)
    for trial in trials:
        plugins.emit("automl_trial_finished", study=STUDY, trial=trial)
    before = path.read_text()
    plugins.emit("automl_study_finished", study=STUDY, error=error)
    assert "automl_study_finished_timestamp_seconds{" not in before
    return path.read_text()


def test_study_is_told_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [
        Trial(0, "a", {}, state=TrialState.COMPLETE, loss=0.3, seconds=2.0),
        Trial(1, "b", {}, state=TrialState.COMPLETE, loss=0.2, seconds=1.0),
        Trial(2, "a", {}, state=TrialState.FAILED, seconds=0.5),
        Trial(3, "a", {}, state=TrialState.COMPLETE, loss=0.4, seconds=1.5),
    ]
    text = follow(tmp_path / "automl.prom", monkeypatch, *trials)
    own = "metric=roc_auc,{}target=bought".format
    found = samples(text)
    complete, failed = (state.value for state in (TrialState.COMPLETE, TrialState.FAILED))
    assert found["automl_study_trials", f"learner=a,metric=roc_auc,state={complete},target=bought"] == 2
    assert found["automl_study_trials", f"learner=a,metric=roc_auc,state={failed},target=bought"] == 1
    assert found["automl_study_trial_seconds", f"learner=a,{own('')}"] == 4
    assert found["automl_study_best_loss", own("")] == 0.2
    assert found["automl_study_rows", own("")] == 900
    assert found["automl_study_failed", own("")] == 0
    assert found["automl_study_started_timestamp_seconds", own("")] == pytest.approx(time.time(), abs=60)
    if shutil.which("promtool") is not None:
        subprocess.run(["promtool", "check", "metrics"], input=text.encode(), check=True)


def test_study_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = follow(tmp_path / "automl.prom", monkeypatch, error=RuntimeError("down"))
    assert samples(text)["automl_study_failed", "metric=roc_auc,target=bought"] == 1


def test_study_without_a_file_in_the_settings_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_LISTENERS", "prometheus")
    Plugins(load_settings()).emit("automl_study_started", study=STUDY)
    assert not list(tmp_path.iterdir())


def test_setting_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_PLUGINS__PROMETHEUS__TEXTFILES", "x")
    with pytest.raises(SettingsError, match="textfile"):
        Plugins(load_settings()).build("monitor", "prometheus")
