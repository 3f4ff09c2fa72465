"""A study and its model in MLflow as it runs in production: a server with PostgreSQL behind it, and artifacts in S3."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from postgres import Postgres, running_postgres
from sklearn.datasets import load_iris
from test_mlflow_server import Server, free_port, track, tracker_at

from automl import AutoML, load_model
from automl_core.settings import load_settings

pytest.importorskip("mlflow")
pytest.importorskip("psycopg2")
pytest.importorskip("moto")
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
S3 = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
ROWS = load_iris(as_frame=True).data.iloc[::10]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        server.ask("create database mlflow", "postgres")
        yield server


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The bucket `models` of an emulated S3."""
    import boto3

    port, log = free_port(), tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", S3, str(port)], stdout=file, stderr=file)
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
    place = {"endpoint_url": f"http://127.0.0.1:{port}", "region_name": "us-east-1"}
    found = boto3.resource("s3", **place, aws_access_key_id="id", aws_secret_access_key="secret").Bucket("models")
    found.create()
    yield found
    found.meta.client.close()
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, bucket: Any) -> Iterator[Server]:
    database = f"postgresql+psycopg2://mlflow:s3cret@127.0.0.1:{postgres.port}/mlflow"
    started = Server(
        tmp_path_factory.mktemp("server"),
        "--backend-store-uri", database, "--artifacts-destination", "s3://models/mlflow",
        MLFLOW_S3_ENDPOINT_URL=bucket.meta.client.meta.endpoint_url,
        AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1",
    )  # fmt: skip
    started.start()
    yield started
    started.stop()


@pytest.mark.slow
def test_study_and_model_live_in_postgres_and_s3(
    server: Server, postgres: Postgres, bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    settings = load_settings(
        executor="serial", search="random", storage="memory", learners=("sklearn.linear",), trackers=("mlflow",),
        directory=str(tmp_path),
    )  # fmt: skip
    automl = AutoML(time_limit=None, max_trials=2, folds=2, settings=settings, n_jobs=1)
    automl.fit(load_iris(as_frame=True).frame, target="target")
    automl.save(tmp_path / "model.automl")
    tracker = tracker_at(server.uri, tmp_path)
    _wait_for_end(tracker, automl.study_.id)
    _read_study_with_the_client_of_mlflow(server, automl)
    version = tracker.register("income", tmp_path / "model.automl", tags={"parent": "0"})
    tracker.alias("income", "champion", version)
    assert postgres.ask("select name, version, status from model_versions") == "income|1|READY"
    assert any(item.key.endswith("model.automl") for item in bucket.objects.filter(Prefix="mlflow/"))
    loaded = load_model("models:/income@champion")
    assert np.array_equal(loaded.predict_proba(ROWS), automl.predict_proba(ROWS))


def _wait_for_end(tracker: Any, study: str) -> None:
    """Wait until the study's own process has sent all, its report last."""
    for _ in range(600):
        if not any(tracker.connection.spools.glob(f"{study}*")):
            return
        time.sleep(0.5)
    raise TimeoutError("the study was not sent within five minutes")


def _read_study_with_the_client_of_mlflow(server: Server, automl: AutoML) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("automl").experiment_id
    (parent,) = client.search_runs([experiment], f"tags.`automl.study` = '{automl.study_.id}'")
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert [run.info.status for run in (parent, *children)] == ["FINISHED"] * 3
    losses = {row["loss"] for row in automl.leaderboard() if row["name"] != "ensemble"}
    assert {run.data.metrics["loss"] for run in children} == losses
    for run in children:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "fold_loss")]
        assert sorted(steps) == list(range(automl.study_.folds))
    files = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert files == {"leaderboard.csv", "leaderboard.json", "model", "plots", "report.html"}
    page = Path(client.download_artifacts(parent.info.run_id, "report.html", ".")).read_text()
    assert "Predicting target" in page


@pytest.mark.parametrize("fault", ["fails", "hangs"])
def test_server_in_trouble_holds_up_no_study(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # of seven, which take minutes
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health" and fault == "hangs":
                over.wait(600)
            self.send_response(200 if self.path == "/health" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name that the base class asks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        tracker = tracker_at(f"http://127.0.0.1:{server.server_port}", tmp_path)
        track(tracker)
        assert tracker.flush() == (0, 1)
        assert "goes on without MLflow" in caplog.text
    finally:
        over.set()
        server.shutdown()
        server.server_close()
