"""A real MLflow server on loopback: the guide's example, its faults, and models that MLflow serves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from sklearn.datasets import load_iris

from automl import AutoML, load_model
from automl_core import ComponentUnavailable, Plugins, Study, Trial, TrialState
from automl_core.settings import load_settings

pytest.importorskip("mlflow")
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
STUDY = Study(id="5e55", task="binary", metric="roc_auc", rows=10, columns=2, seed=0, folds=3)
ROWS = load_iris(as_frame=True).data.iloc[::10]


class Server:
    """`mlflow server` with SQLite behind it; its data outlive it."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder, self.arguments = folder, arguments
        # Jobs are seven more processes, of features that nobody uses here.
        ours = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.environment = {**os.environ, **ours, **environment}
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "files"), *self.arguments,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=self.environment, cwd=self.folder
            )
        wait_for(f"{self.uri}/health", self.process, self.folder / "log")

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(3000):  # 16 s on an idle machine, minutes where others work
        try:
            urlopen(url, timeout=5).close()
            return
        except (OSError, HTTPException):
            assert process.poll() is None, log.read_text()[-3000:]
            time.sleep(0.1)
    raise TimeoutError(log.read_text()[-3000:])


def until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.5)
    raise TimeoutError("it did not happen within five minutes")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables of MLflow: making them takes seconds."""
    from automl.tracking.mlflow_integration import MLflowTracker

    folder = tmp_path_factory.mktemp("store")
    MLflowTracker(directory=folder).versions("nothing")
    return folder / "mlflow" / "mlflow.db"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(store, folder / "mlflow.db")
    started = Server(folder)
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def trained_model(tmp_path_factory: pytest.TempPathFactory) -> AutoML:
    settings = load_settings(
        executor="serial", search="random", learners=("sklearn.linear",), trackers=(),
        directory=str(tmp_path_factory.mktemp("engine")),
    )  # fmt: skip
    automl = AutoML(time_limit=None, max_trials=1, folds=2, settings=settings, n_jobs=1)
    return automl.fit(load_iris(as_frame=True).frame, target="target")


def tracker_at(uri: str, directory: Path, **settings: Any) -> Any:
    block = {"tracking_uri": uri, "flush_seconds": 300, **settings}
    host = Plugins(load_settings(trackers=("mlflow",), directory=str(directory), plugins={"mlflow": block}))
    return host.build("tracker", "mlflow")


def track(tracker: Any, study: Study = STUDY, trials: int = 3) -> float:
    """Track a study, and return the seconds that it waited for its tracker."""
    started = time.perf_counter()
    tracker.start(study)
    for number in range(trials):
        tracker.log(Trial(number, "linear", {"c": number}).with_result(TrialState.COMPLETE, loss=1.0 / (1 + number)))
    tracker.finish()
    return time.perf_counter() - started


def runs(tracker: Any, query: str) -> list[Any]:
    return list(tracker.connection.client.search_runs([tracker.connection.experiment()], query))


def test_guide_tracks_runs_and_models(server: Server, trained_model: AutoML, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    from automl.tracking.mlflow_integration import MLflowConfig, MLflowTracker

    config = MLflowConfig(
        tracking_uri=server.uri,
        experiment_name="production-automl",
        artifact_location=(tmp_path / "artifacts").as_uri(),
    )

    tracker = MLflowTracker(config)

    run_id = tracker.start_run(run_name="xgboost-optimization")

    tracker.log_params({
        "max_depth": 8,
        "learning_rate": 0.1,
        "n_estimators": 1000,
    })  # fmt: skip

    tracker.log_metrics({
        "train_score": 0.95,
        "val_score": 0.92,
        "test_score": 0.91,
    })  # fmt: skip

    tracker.log_model(
        model=trained_model,
        registered_model_name="production-classifier",
    )

    tracker.end_run()

    best_run = tracker.get_best_run(metric="test_score")

    assert best_run.info.run_id == run_id
    assert best_run.data.metrics == {"train_score": 0.95, "val_score": 0.92, "test_score": 0.91}
    assert best_run.data.params == {"max_depth": "8", "learning_rate": "0.1", "n_estimators": "1000"}
    assert list((tmp_path / "artifacts").rglob("model.automl"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    loaded = load_model("models:/production-classifier/1")
    assert np.array_equal(loaded.predict_proba(ROWS), trained_model.predict_proba(ROWS))
    loaded = load_model(f"runs:/{run_id}/model")
    assert np.array_equal(loaded.predict_proba(ROWS), trained_model.predict_proba(ROWS))


def test_study_and_model_go_through_the_server(
    server: Server, trained_model: AutoML, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tracker = tracker_at(server.uri, tmp_path, experiment_name="through")
    assert track(tracker) < 2.0
    trained_model.save(tmp_path / "model.automl")
    assert tracker.flush() == (0, 0)
    assert capfd.readouterr().out == ""  # which may be the JSON of `automl fit --json`
    (parent,) = runs(tracker, "tags.`automl.study` = '5e55'")
    assert parent.data.metrics["best_loss"] == 1 / 3
    assert len(runs(tracker, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")) == 3
    version = tracker.register("through", tmp_path / "model.automl", tags={"parent": "0"})
    tracker.alias("through", "champion", version)
    assert tracker.tags("through", "champion")["parent"] == "0"
    assert tracker.resolve("through", "champion").read_bytes() == (tmp_path / "model.automl").read_bytes()


@pytest.mark.slow
def test_server_that_is_away_delays_nothing_and_gets_all_later(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copyfile(store, tmp_path / "mlflow.db")
    server = Server(tmp_path)
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")  # what the address puts there goes when the test ends
    uri = server.uri.replace("//", "//me:hunter2@")
    tracker = tracker_at(uri, tmp_path, flush_seconds=0.5)
    assert track(tracker) < 20  # seconds, where MLflow's own client takes minutes to give up
    until(lambda: tracker.flush() == (0, 1) and "stays: MLflow" in caplog.text)  # the study's own process gave up
    assert "does not answer" in caplog.text
    assert "hunter2" not in caplog.text
    server.start()
    try:
        assert tracker_at(uri, tmp_path).flush() == (5, 0)
        assert len(runs(tracker, "attributes.status = 'FINISHED'")) == 4
        _lose_server_within_a_study(server, tracker)
    finally:
        server.stop()


def _lose_server_within_a_study(server: Server, tracker: Any) -> None:
    study = Study(id="10e7", task="binary", metric="roc_auc", rows=10, columns=2, seed=0, folds=3)
    tracker.start(study)
    trial = Trial(0, "linear", {}).with_result(TrialState.COMPLETE, loss=0.5)
    tracker.log(trial)
    until(lambda: runs(tracker, "tags.`automl.study` = '10e7'"))
    server.stop()
    tracker.log(trial.with_result(TrialState.COMPLETE, loss=0.25))
    tracker.log(Trial(1, "linear", {}).with_result(TrialState.COMPLETE, loss=0.125))
    time.sleep(1)
    server.start()
    tracker.finish()
    until(lambda: tracker.flush() == (0, 0))
    (parent,) = runs(tracker, "tags.`automl.study` = '10e7'")
    found = runs(tracker, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert sorted(run.data.metrics["loss"] for run in found) == [0.125, 0.25]
    assert parent.info.status == "FINISHED"


def test_required_server_that_is_away_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ComponentUnavailable, match="tracking_uri"):
        tracker_at(f"http://127.0.0.1:{free_port()}", tmp_path, required=True)


@pytest.mark.slow
def test_wrong_password_is_told_and_the_right_one_works(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("flask_wtf")
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")  # what settings put there goes when the test ends
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
    (tmp_path / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path / 'auth.db'}\n"
        "admin_username = admin\nadmin_password = a-long-password-1\n"
    )
    shutil.copyfile(store, tmp_path / "mlflow.db")
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret"}
    server = Server(tmp_path, "--app-name", "basic-auth", **environment)
    server.start()
    try:
        tracker = tracker_at(server.uri, tmp_path, username="admin", password="hunter2-wrong")
        track(tracker)
        assert tracker.flush()[1] == 1
        assert "denies access (401)" in caplog.text
        assert "hunter2" not in caplog.text
        right = tracker_at(server.uri, tmp_path, username="admin", password="a-long-password-1")
        assert right.flush() == (5, 0)
        assert len(runs(right, "attributes.status = 'FINISHED'")) == 4
    finally:
        server.stop()


@pytest.mark.slow
def test_mlflow_serves_the_model(trained_model: AutoML, tmp_path: Path) -> None:
    from automl_mlflow.flavour import write_model

    trained_model.save(tmp_path / "model.automl")
    (tmp_path / "model").mkdir()
    write_model(tmp_path / "model.automl", tmp_path / "model")
    port, log = free_port(), tmp_path / "log"
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tmp_path / "model"), "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "60"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        body = {"dataframe_split": ROWS.to_dict(orient="split"), "params": {"proba": True}}
        request = Request(
            f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=60) as answer:
            said = np.array(json.loads(answer.read())["predictions"])
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
    assert np.allclose(said, trained_model.predict_proba(ROWS), rtol=0, atol=1e-12)
