"""The engine at URIs of a cloud: journal, data, model and predictions, against a real server of S3's API."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from click.testing import CliRunner
from pyarrow import csv as csv_arrow
from pyarrow import parquet

from automl import AutoML, load_model
from automl.cli.app import cli
from automl.table import open_table
from automl_core import ComponentUnavailable, DataError, Plugins
from automl_core.settings import load_settings

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto")

SERVER = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
ROWS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVER, str(port)], stdout=file, stderr=file)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def place(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URI of an empty folder, which settings in the environment reach."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_PLUGINS__S3__ENDPOINT_URL", server)
    monkeypatch.setenv("AUTOML_PLUGINS__S3__REGION", "us-east-1")
    monkeypatch.setenv("AUTOML_PLUGINS__S3__ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AUTOML_PLUGINS__S3__SECRET_ACCESS_KEY", "secret-never-shown")
    client = boto3.client(
        "s3", endpoint_url=server, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    bucket = f"b{uuid4().hex}"
    client.create_bucket(Bucket=bucket)
    client.close()
    return f"s3://{bucket}/folder"


def storage(uri: str):
    return Plugins(load_settings()).build("storage", uri)


def rows(count: int = ROWS, seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 3))
    y = np.where(X[:, 0] + 0.3 * X[:, 1] > 0, "yes", "no")
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{label}" for (a, b, c), label in zip(X, y, strict=True)]
    return "\n".join(["a,b,c,y", *lines, ""]).encode()


def test_fit_save_load_and_predict_at_uris(place: str) -> None:
    storage(place).put_uri(f"{place}/rows/part.csv", rows())
    settings = load_settings(learners=("sklearn.linear",), search="random")
    engine = AutoML(time_limit=None, max_trials=1, n_jobs=1, settings=settings, storage=f"{place}/studies")
    engine.fit(f"{place}/rows/*.csv", target="y")
    engine.save(f"{place}/model.automl")
    assert engine.score(f"{place}/rows/part.csv") > 0.9
    model = load_model(f"{place}/model.automl")
    assert model.predict(f"{place}/rows/part.csv").tolist() == engine.predict(f"{place}/rows").tolist()
    # A study whose answer is out leaves no journal behind.
    assert list(storage(f"{place}/studies").keys()) == []

    done = CliRunner().invoke(
        cli, ["predict", f"{place}/model.automl", f"{place}/rows", "--proba", "--out", f"{place}/out.csv"]
    )
    assert done.exit_code == 0, done.output
    with storage(place).open_uri(f"{place}/out.csv") as file:
        table = list(csv.reader(io.StringIO(file.read().decode())))
    assert table[0] == ["y", "probability_no", "probability_yes"]
    assert [row[0] for row in table[1:]] == model.predict(f"{place}/rows").tolist()
    done = CliRunner().invoke(
        cli, ["predict", f"{place}/model.automl", f"{place}/rows", "--out", f"{place}/out.parquet"]
    )
    assert done.exit_code == 0, done.output
    assert open_table(f"{place}/out.parquet")["y"].to_pylist() == model.predict(f"{place}/rows").tolist()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_partitions_in_a_cloud_become_columns(place: str, suffix: str) -> None:
    bodies = {"csv": ["a\n1\n", "a\n2\n"], "jsonl": ['{"a":1}\n', '{"a":2}\n']}[suffix]
    for year, body in zip((2024, 2025), bodies, strict=True):
        storage(place).put_uri(f"{place}/year={year}/kind=x%20y/part.{suffix}", body.encode())
    assert open_table(place).to_pydict() == {"a": [1, 2], "year": [2024, 2025], "kind": ["x y", "x y"]}


def test_missing_model_and_data_are_told(place: str) -> None:
    with pytest.raises(DataError, match="there is no file at"):
        load_model(f"{place}/nothing.automl")
    with pytest.raises(DataError, match="there is no file at"):
        open_table(f"{place}/nothing.csv")


def test_store_that_does_not_answer_is_told_without_secrets(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_PLUGINS__S3__ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AUTOML_PLUGINS__S3__RETRIES", "1")
    for attempt in (load_model, open_table):
        with pytest.raises(ComponentUnavailable, match="does not answer, asked 2 times") as told:
            attempt(f"{place}/x.csv")
        assert "secret-never-shown" not in str(told.value)
    done = CliRunner().invoke(cli, ["predict", f"{place}/m.automl", f"{place}/x.csv"])
    assert done.exit_code == 1
    assert "does not answer" in done.output


def test_journal_that_breaks_off_costs_the_resumption_only(place: str, caplog, odd_learners) -> None:
    bucket = place.removeprefix("s3://").partition("/")[0]
    settings = load_settings(learners=("odd.works",), search="random", storage=place)
    plugins = Plugins(settings)
    client = boto3.client(
        "s3", endpoint_url=os.environ["AUTOML_PLUGINS__S3__ENDPOINT_URL"], region_name="us-east-1",
        aws_access_key_id="id", aws_secret_access_key="secret",
    )  # fmt: skip
    plugins.build("storage", place).put("probe", b"x")

    from automl_core import hookimpl

    class Wrecker:
        @hookimpl
        def automl_study_started(self, study):
            for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
                client.delete_object(Bucket=bucket, Key=item["Key"])
            client.delete_bucket(Bucket=bucket)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 3))
    with caplog.at_level(logging.WARNING, "automl.study"):
        engine = AutoML(time_limit=None, max_trials=2, n_jobs=1, settings=settings, listeners=[Wrecker()])
        engine.fit(X, (X[:, 0] > 0).astype(int))
    client.close()
    assert engine.predict(X).shape == (100,)
    assert "there is no bucket" in caplog.text


SCRIPT = """
import json, sys
import numpy as np
from automl import AutoML
from automl.study import frame
from automl_core.settings import load_settings

place, log = sys.argv[1:3]
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4))
y = (X[:, 0] + 0.5 * X[:, 1] + rng.normal(0, 0.5, 300) > 0).astype(int)
fit_part = frame.fit_part

def spy(shared, order):
    fitted = fit_part(shared, order)
    with open(log, "a") as file:
        file.write(f"{type(order.learner).__name__} {sorted(order.params.items())} {order.view} {order.part}\\n")
    return fitted

import automl.study.loop as loop
loop.fit_part = spy
settings = load_settings(learners=("sklearn.linear",), search="random")
engine = AutoML(time_limit=None, max_trials=4, folds=3, n_jobs=1, settings=settings, storage=place).fit(X[:200], y[:200])
print(json.dumps(engine.predict_proba(X[200:])[:, 1].tolist()))
"""


def test_a_killed_study_goes_on_from_its_journal_in_a_cloud(place: str, tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(SCRIPT)

    def start(folder: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), f"{place}/{folder}", str(tmp_path / folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    calm, error = start("calm").communicate(timeout=200)
    assert calm, error
    log = tmp_path / "killed"
    process = start("killed")
    while process.poll() is None and (not log.exists() or log.read_text().count("\n") < 4):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    killed, error = start("killed").communicate(timeout=200)
    assert killed, error
    assert json.loads(killed) == pytest.approx(json.loads(calm), abs=1e-6)
    lines = log.read_text().splitlines()
    # Only the fit that had finished but was not on record yet when the process was killed is fitted twice.
    assert len(lines) - len(set(lines)) <= 1


@pytest.fixture
def relay(place: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A relay before the server that breaks answers; settings in the environment reach the server through it."""
    path = Path(__file__).parents[1] / "plugins/automl-s3/tests/conftest.py"
    spec = importlib.util.spec_from_file_location("automl_s3_relay", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    relay = module.Relay(int(os.environ["AUTOML_PLUGINS__S3__ENDPOINT_URL"].rpartition(":")[2]))
    monkeypatch.setenv("AUTOML_PLUGINS__S3__ENDPOINT_URL", relay.url)
    yield relay
    relay.server.shutdown()
    relay.server.server_close()


def put_years(place: str) -> None:
    for year in (2024, 2025):
        table = csv_arrow.read_csv(io.BytesIO(rows(4000, seed=year)))
        sink = io.BytesIO()
        parquet.write_table(table, sink, row_group_size=500)
        storage(place).put_uri(f"{place}/rows/year={year}/part.parquet", sink.getvalue())


def test_a_bucket_that_memory_cannot_hold_is_learned_and_predicted_in_parts(place: str, relay: Any) -> None:
    put_years(place)
    settings = load_settings(learners=("lightgbm",), search="random", storage="memory", executor="threads")
    engine = AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings, memory_limit=1 << 18)
    relay.faults = [("GET", "part.parquet", fault) for fault in ("busy", "cut", "hang up") * 3]
    engine.fit(f"{place}/rows", target="y")
    assert relay.faults == []
    assert engine.model_.info["all_rows"] == 8000
    assert "year" in engine.model_.names
    assert engine.score(f"{place}/rows") > 0.9

    from automl.large.predict import predict_files

    plugins = Plugins(settings, threads=1)
    relay.faults = [("GET", "2025/part.parquet", "expired")] * 3
    with pytest.raises(ComponentUnavailable, match="have expired"):
        predict_files(engine.model_, f"{place}/rows", f"{place}/out", plugins=plugins)
    relay.faults = [("GET", "2025/part.parquet", "busy"), ("PUT", "part-", "busy"), ("PUT", "part-", "lose")]
    done = predict_files(engine.model_, f"{place}/rows", f"{place}/out", plugins=plugins)
    assert relay.faults == []
    assert done.rows == 8000
    whole = open_table(f"{place}/rows")
    assert open_table(f"{place}/out")["y"].to_pylist() == engine.predict(whole).tolist()
    with pytest.raises(DataError, match="holds other files already"):
        predict_files(engine.model_, f"{place}/rows", f"{place}/out", proba=True, plugins=plugins)
