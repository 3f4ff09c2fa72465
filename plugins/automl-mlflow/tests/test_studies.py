from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from automl_core import Study, Trial, TrialState
from automl_mlflow.connection import Refused
from automl_mlflow.sending import Sender
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.tracker import MLflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
STUDY = Study(
    id="a1b2", task="binary", metric="roc_auc", rows=100, columns=5, seed=7, folds=3, learners=("linear", "forest"),
    settings={"data": "fingerprint"},
)  # fmt: skip


def trial(number: int, loss: float | None = 0.5, **changes: Any) -> Trial:
    state = TrialState.COMPLETE if loss is not None else TrialState.FAILED
    values = {"seconds": 1.5, "rounds": 20, "metrics": {"auc": 0.75}, **changes}
    return Trial(number, "linear", {"c": 0.5, "penalty": "l2"}, origin="portfolio").with_result(
        state, loss=loss, **values
    )


def runs_of(tracker: MLflowTracker, query: str) -> list[Any]:
    return list(tracker.connection.client.search_runs([tracker.connection.experiment()], query))


def children(tracker: MLflowTracker, parent: Any) -> dict[int, Any]:
    found = runs_of(tracker, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    return {int(run.data.tags["automl.trial"]): run for run in found}


def record(tracker: MLflowTracker, *trials: Trial, error: BaseException | None = None) -> Any:
    """Track a study, and return its run."""
    tracker.start(STUDY)
    for one in trials:
        tracker.log(one)
    tracker.finish(error)
    assert tracker.flush()[1] == 0
    return runs_of(tracker, f"tags.`automl.study` = '{STUDY.id}'")[0]


def until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.5)
    raise TimeoutError("it did not happen within five minutes")


def spools(tracker: MLflowTracker) -> list[Path]:
    return list(tracker.connection.spools.glob("*"))


def test_study_is_a_run_with_a_child_for_each_trial(tracker: MLflowTracker) -> None:
    parent = record(tracker, trial(0), trial(1, 0.25), trial(2, None, error="ValueError: no"))
    assert parent.info.status == "FINISHED"
    assert parent.data.params.items() >= {"metric": "roc_auc", "rows": "100", "settings.data": "fingerprint"}.items()
    assert "environment.python" in parent.data.params
    assert parent.inputs.dataset_inputs[0].dataset.digest == "fingerprint"
    found = children(tracker, parent)
    assert [found[i].info.status for i in range(3)] == ["FINISHED", "FINISHED", "FAILED"]
    assert found[1].data.params == {"learner": "linear", "seed": "0", "c": "0.5", "penalty": "l2"}
    assert found[1].data.metrics == {"loss": 0.25, "seconds": 1.5, "rounds": 20.0, "auc": 0.75}
    assert found[2].data.tags["automl.error"] == "ValueError: no"
    assert found[0].info.end_time - found[0].info.start_time == 1500
    assert spools(tracker) == []


def test_trials_are_sent_while_the_study_goes_on(live: MLflowTracker) -> None:
    live.start(STUDY)
    live.log(trial(0))
    until(lambda: len(runs_of(live, "tags.`automl.trial` = '0'")) == 1)
    assert live._uploader is not None
    assert live._uploader._process is not None
    assert os.getpriority(os.PRIO_PROCESS, live._uploader._process.pid) == 19, "it gives way to the study"
    live.log(trial(1))
    live.finish()
    assert live.flush() == (0, 0)
    (parent,) = runs_of(live, "tags.`automl.study` = 'a1b2'")
    assert [run.info.status for run in children(live, parent).values()] == ["FINISHED", "FINISHED"]
    assert spools(live) == []


def test_study_without_a_process_waits_on_disk(
    live: MLflowTracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    live.start(STUDY)
    live.log(trial(0))
    live.finish()
    assert "no process could be started" in caplog.text
    assert live.flush() == (3, 0)


def test_process_that_dies_loses_nothing(live: MLflowTracker, caplog: pytest.LogCaptureFixture) -> None:
    live.start(STUDY)
    live.log(trial(0))
    assert live._uploader is not None
    process = live._uploader._process
    assert process is not None
    process.kill()
    live.log(trial(1))
    live.finish()
    assert live.flush() == (4, 0)
    assert "ended with -9" in caplog.text


def points(tracker: MLflowTracker, run: Any, metric: str) -> list[tuple[int, float]]:
    history = tracker.connection.client.get_metric_history(run.info.run_id, metric)
    return sorted((point.step, point.value) for point in history)  # MLflow has them by the millisecond


def test_losses_are_logged_by_trial(tracker: MLflowTracker) -> None:
    parent = record(tracker, trial(0, 0.5), trial(1, None), trial(3, 0.75), trial(2, 0.25))
    assert points(tracker, parent, "loss") == [(0, 0.5), (2, 0.25), (3, 0.75)]
    assert points(tracker, parent, "best_loss") == [(0, 0.5), (2, 0.5), (3, 0.25)]
    assert parent.data.metrics["best_loss"] == 0.25


def test_losses_by_trial_are_whole_where_another_process_sends_the_rest(
    tracker: MLflowTracker, directory: Path
) -> None:
    tracker.start(STUDY)
    tracker.log(trial(0, 0.5))
    Sender(tracker._opened(), tracker.connection).send()
    tracker.log(trial(1, 0.75))
    tracker.finish()
    again = MLflowTracker(tracker.config, directory=directory)
    assert again.flush() == (2, 0)
    (parent,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert points(tracker, parent, "best_loss") == [(0, 0.5), (1, 0.5)]


def test_losses_of_folds_are_logged_once_by_fold(tracker: MLflowTracker) -> None:
    one = trial(0, fold_losses=(0.25, None, 0.75))
    run = children(tracker, record(tracker, one, one))[0]
    assert points(tracker, run, "fold_loss") == [(0, 0.25), (2, 0.75)]


@pytest.mark.parametrize(("seconds", "sent"), [(10.0, [3, 3, 44]), (0.0, [50, 0, 0])])
def test_while_a_study_runs_what_its_end_has_time_for_is_put_off(
    directory: Path, seconds: float, sent: list[int]
) -> None:
    config = MLflowConfig.model_validate({"offline": True, "flush_seconds": seconds})
    tracker = MLflowTracker(config, directory=directory)
    tracker.start(STUDY)
    for number in range(49):
        tracker.log(trial(number))
    sender = Sender(tracker._opened(), tracker.connection)
    # As if a trial had been sent so quickly once: all of them are a moment's work, however busy the machine.
    sender._quickest = 0.01
    assert [sender.send(whole=False), sender.send(whole=False), sender.send()] == sent
    (parent,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert sorted(children(tracker, parent)) == list(range(49))
    assert [step for step, _ in points(tracker, parent, "loss")] == list(range(49))
    tracker.close()


def test_scores_of_the_leaderboard_are_logged_by_trial(tracker: MLflowTracker, tmp_path: Path) -> None:
    rows = [("ensemble", 0.95, 0.05), ("linear#2", 0.9, 0.1), ("linear#0", 0.8, 0.2), ("linear#1", None, None)]
    board = [{"name": name, "score": score, "loss": loss} for name, score, loss in rows]
    tracker.start(STUDY)
    (tmp_path / "leaderboard.json").write_text(json.dumps(board))
    tracker.artifact("leaderboard.json", tmp_path / "leaderboard.json")
    tracker.finish()
    tracker.flush()
    (parent,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert points(tracker, parent, "roc_auc") == [(0, 0.8), (2, 0.9)]
    assert parent.data.metrics == {"roc_auc": 0.9, "best_roc_auc": 0.9, "ensemble_roc_auc": 0.95}


def test_failed_study_is_a_failed_run(tracker: MLflowTracker) -> None:
    parent = record(tracker, error=RuntimeError("no luck"))
    assert (parent.info.status, parent.data.tags["automl.error"]) == ("FAILED", "RuntimeError: no luck")


def test_model_and_files_are_artifacts(tracker: MLflowTracker, tmp_path: Path) -> None:
    for name in ("model.automl", "report.html"):
        (tmp_path / name).write_text(name)
    tracker.start(STUDY)
    for name in ("model.automl", "report.html"):
        tracker.artifact(name, tmp_path / name)
        (tmp_path / name).unlink()
    tracker.finish()
    tracker.flush()
    (parent,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    client = tracker.connection.client
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == {"model", "report.html"}
    assert tracker.fetch(f"runs:/{parent.info.run_id}/model").read_text() == "model.automl"


@pytest.mark.parametrize(
    ("name", "kept"),
    [("größe", "größe"), ("a|b*c", "a_b_c"), ("../up", "___up"), ("/root", "_root"), ("", "_"), ("x" * 300, "x" * 250)],
)
def test_odd_name_is_made_one_that_mlflow_takes(tracker: MLflowTracker, name: str, kept: str) -> None:
    odd = Trial(0, "linear", {name: 1.0}).with_result(TrialState.COMPLETE, loss=0.5, metrics={name: 0.25})
    found = children(tracker, record(tracker, odd))[0]
    assert (found.data.params[kept], found.data.metrics[kept]) == ("1.0", 0.25)


def test_long_value_is_cut(tracker: MLflowTracker) -> None:
    long = Trial(0, "linear", {"text": "数" * 10_000}).with_result(TrialState.FAILED, error="e" * 10_000)
    found = children(tracker, record(tracker, long))[0]
    assert (len(found.data.params["text"]), len(found.data.tags["automl.error"])) == (6000, 8000)


def test_text_that_a_database_lacks_is_told_otherwise(tracker: MLflowTracker) -> None:
    tracker.start(replace(STUDY, target="a\0b\ud800" + "x" * 1000))  # PostgreSQL refuses all three, SQLite one
    tracker.log(Trial(0, "linear", {"text": "\0\udc80"}).with_result(TrialState.FAILED, error="e\0\ud800"))
    tracker.finish()
    assert tracker.flush() == (3, 0)
    (parent,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert parent.info.run_name == "a\ufffdb?" + "x" * 246
    assert parent.inputs.dataset_inputs[0].dataset.name == "a\ufffdb?" + "x" * 496
    (child,) = children(tracker, parent).values()
    assert (child.data.params["text"], child.data.tags["automl.error"]) == ("\ufffd?", "e\ufffd?")


def test_more_parameters_than_one_request_takes(tracker: MLflowTracker) -> None:
    many = Trial(0, "linear", {f"p{i}": i for i in range(250)}).with_result(TrialState.COMPLETE, loss=0.5)
    assert children(tracker, record(tracker, many))[0].data.params["p249"] == "249"


def test_numbers_that_are_not_finite_are_named(tracker: MLflowTracker) -> None:
    found = children(tracker, record(tracker, trial(0, metrics={"a": float("nan"), "b": float("inf"), "c": 1.0})))[0]
    assert found.data.tags["automl.not_finite"] == "a, b"
    assert found.data.metrics.keys() == {"loss", "seconds", "rounds", "c"}


def test_two_studies_at_once_are_two_runs(live: MLflowTracker, directory: Path) -> None:
    trackers = [live, MLflowTracker(live.config, directory=directory)]

    def track(tracker: MLflowTracker) -> None:
        tracker.start(STUDY)
        for number in range(5):
            tracker.log(trial(number))
        tracker.finish()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(track, trackers))
    for tracker in trackers:
        tracker.flush()
    assert spools(trackers[0]) == []
    found = runs_of(trackers[0], "tags.`automl.study` = 'a1b2'")
    assert [len(children(trackers[0], parent)) for parent in found] == [5, 5]


@pytest.fixture
def active(tracker: MLflowTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import mlflow

    monkeypatch.chdir(tmp_path)  # where MLflow puts the artifacts of experiments that it makes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which MLflow sets, and which must not outlive the test
    mlflow.set_tracking_uri(tracker.connection.uri)
    mlflow.set_experiment("notebook")
    try:
        with mlflow.start_run() as run:
            yield run
    finally:
        mlflow.set_tracking_uri(None)


def test_study_nests_under_the_active_run(tracker: MLflowTracker, active: Any, tmp_path: Path) -> None:
    config = MLflowConfig.model_validate({"flush_seconds": 300})
    elsewhere = MLflowTracker(
        config, directory=tmp_path / "elsewhere"
    )  # goes to the active run, as settings name no address
    elsewhere.start(STUDY)
    elsewhere.log(trial(0))
    elsewhere.finish()
    elsewhere.flush()
    found = tracker.connection.client.search_runs([active.info.experiment_id], "tags.`automl.study` = 'a1b2'")
    assert [run.data.tags["mlflow.parentRunId"] for run in found] == [active.info.run_id]
    nested = tracker.connection.client.search_runs([active.info.experiment_id], "tags.`automl.trial` = '0'")
    assert [run.data.tags["mlflow.parentRunId"] for run in nested] == [found[0].info.run_id]


KILLED = """
import os, sys, time
sys.path[:0] = {path!r}
from automl_core import Study, Trial, TrialState
from automl_mlflow.tracker import MLflowTracker
tracker = MLflowTracker(directory={directory!r})
tracker.start(Study(id="a1b2", task="binary", metric="roc_auc", rows=100, columns=5, seed=7, folds=3))
for number in range(2):
    tracker.log(Trial(number, "linear", {{}}).with_result(TrialState.COMPLETE, loss=0.5))
print("told", flush=True)
time.sleep(60)
"""


def test_run_of_a_killed_process_is_closed_as_killed(tracker: MLflowTracker, directory: Path) -> None:
    code = KILLED.format(path=[entry for entry in sys.path if entry], directory=str(directory))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"told\n"
        assert tracker.flush() == (0, 0), "a spool that its process has open is nobody else's"
        process.send_signal(signal.SIGKILL)
    until(lambda: spools(tracker) == [])
    (killed,) = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert killed.info.status == "KILLED"
    assert len(children(tracker, killed)) == 2


def test_run_of_a_killed_machine_is_closed_by_the_next_study(tracker: MLflowTracker, directory: Path) -> None:
    tracker.start(STUDY)
    tracker.log(trial(0))
    tracker._opened().close()  # as the end of its process does, which leaves no record of an end
    again = MLflowTracker(tracker.config, directory=directory)
    record(again, trial(0), trial(1))
    found = runs_of(tracker, "tags.`automl.study` = 'a1b2'")
    assert {run.info.status: len(children(tracker, run)) for run in found} == {"KILLED": 1, "FINISHED": 2}


def test_deleted_experiment_costs_no_study_and_says_what_to_do(
    tracker: MLflowTracker, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = tracker.connection.experiment()
    tracker.connection.client.delete_experiment(experiment)
    other = MLflowTracker(MLflowConfig.model_validate({"flush_seconds": 300}), directory=directory)
    other.start(STUDY)
    other.log(trial(0))
    other.finish()
    assert other.flush() == (0, 1)
    assert f"restore --experiment-id {experiment}" in caplog.text
    tracker.connection.client.restore_experiment(experiment)
    assert MLflowTracker(directory=directory).flush() == (3, 0)
    assert len(runs_of(tracker, "tags.`automl.trial` = '0'")) == 1


def test_trial_before_its_study_is_refused(tracker: MLflowTracker) -> None:
    with pytest.raises(RuntimeError, match="before the start"):
        tracker.log(trial(0))


def test_password_is_in_no_error(tmp_path: Path) -> None:
    config = MLflowConfig(tracking_uri="postgresql://me:hunter2@127.0.0.1:1/mlflow", password="hunter2")
    with pytest.raises(Refused, match="psycopg") as caught:
        MLflowTracker(config, directory=tmp_path).versions("income")
    assert "hunter2" not in str(caught.value)
