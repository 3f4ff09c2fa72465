"""The production guide's examples run word for word, against real services; only hosts and sizes are replaced."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packages import ROOT

from automl import AutoML
from automl_core import PluginError
from automl_core.settings import load_settings

GUIDE = ROOT / "examples/guide"
EXAMPLES = sorted(GUIDE.glob("*.py"))
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore",
    "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
}  # fmt: skip


def missing(what: str) -> None:
    """Skip where a service or plugin is not there; in CI that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def in_repository(module: str) -> bool:
    """Tell whether a module of a plugin is here; those of others always are."""
    package, _, rest = module.partition(".")
    folder = ROOT / "plugins" / package.replace("_", "-") / "src" / package
    return not package.startswith("automl_") or (folder / f"{rest or '__init__'}.py").is_file()


def need(*modules: str) -> None:
    for module in modules:
        if not in_repository(module):
            pytest.skip(f"{module} is not in this repository")
        if find_spec(module) is None:
            missing(module)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(
    folder: Path, *command: str, port: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a server until its port answers and the block is done; then end its process group."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            cwd=folder,
            env={**os.environ, **QUIET, **(env or {})},
            start_new_session=True,
        )
    try:
        for _ in range(1200):
            assert process.poll() is None, log.read_text()[-3000:]
            if port is None or answers(port):
                break
            time.sleep(0.1)
        else:
            raise TimeoutError(log.read_text()[-3000:])
        yield process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def script(number: int, folder: Path, replace: Mapping[str, str], *, before: str = "", after: str = "") -> Path:
    """Write an example with its hosts and sizes replaced, names provided before it, and questions asked after it."""
    (source,) = (path for path in EXAMPLES if path.name.startswith(f"{number}_"))
    text = source.read_text(encoding="utf-8")
    for old, new in replace.items():
        assert old in text, f"example {number} does not say {old!r}"
        text = text.replace(old, new)
    path = folder / source.name
    # Workers that import the main module must not run it again.
    body = "\n".join(f"    {line}" for line in f"{before}\n{text}\n{after}".splitlines())
    path.write_text(f"if __name__ == '__main__':\n{body}\n", encoding="utf-8")
    return path


def run(path: Path, *, env: Mapping[str, str] | None = None, seconds: float = 240) -> Any:
    """Run an example; return what it printed last, from JSON."""
    done = subprocess.run(
        [sys.executable, path.name], cwd=path.parent, env={**os.environ, **QUIET, **(env or {})}, capture_output=True, text=True,
        timeout=seconds,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Return a function that saves a small model of three numbers."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3))
    table = {f"x{i}": values[:, i] for i in range(3)} | {"y": (values[:, 0] > 0).astype(int)}
    settings = load_settings(
        executor="serial", storage="memory", trackers=(), learners=("sklearn.linear",),
        directory=str(tmp_path_factory.mktemp("guide")),
    )  # fmt: skip
    fitted = AutoML(max_trials=1, time_limit=None, folds=2, n_jobs=1, settings=settings).fit(table, target="y")
    return fitted.save


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """A real S3 server with the guide's bucket; gives a boto3 client and sets `AWS_ENDPOINT_URL` for children."""
    need("moto", "boto3")
    import boto3

    port = free_port()
    serve = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    with running(tmp_path, sys.executable, "-c", serve, str(port), port=port):
        url = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket="my-bucket")
        yield client
        client.close()


def test_every_example_has_a_test() -> None:
    tested = {name.removeprefix("test_example_")[0] for name in globals() if name.startswith("test_example_")}
    assert tested == {path.name[0] for path in EXAMPLES} == set("123456")


HOMES = {
    "automl.caching.redis_cache": "automl_redis.cache", "automl.datasets.distributed": "automl_dask.loader",
    "automl.monitoring.metrics": "automl_drift.detector", "automl.optimizers.ray_optimizer": "automl_ray.optimizer",
    "automl.tracking.mlflow_integration": "automl_mlflow.tracker",
}  # fmt: skip
NAMES = sorted(
    {
        (node.module, alias.name)
        for path in EXAMPLES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
)


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_name_of_the_guide_is_where_it_says(module: str, name: str) -> None:
    if module in HOMES:
        need(HOMES[module])
    assert callable(getattr(import_module(module), name))


class Absent:
    """Finds no module of these packages, as where they are not installed."""

    def __init__(self, *packages: str) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize("module", sorted(HOMES))
def test_missing_plugin_of_the_guide_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not in_repository(HOMES[module]):
        pytest.skip(f"{HOMES[module]} is not in this repository")
    name = next(name for home, name in NAMES if home == module)
    package = HOMES[module].partition(".")[0]
    monkeypatch.setattr(sys, "meta_path", [Absent(package), *sys.meta_path])
    for loaded in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    with pytest.raises(PluginError, match=rf"automl-sdk\[{package.removeprefix('automl_')}\]"):
        getattr(import_module(module), name)


@pytest.mark.slow
def test_example_1_searches_on_a_ray_cluster(tmp_path: Path) -> None:
    need("ray", "automl_ray.optimizer")
    port, client = free_port(), free_port()
    command = Path(sys.executable).with_name("ray")
    # Sockets are named within it, and a socket's name is short.
    folder = tempfile.mkdtemp(prefix="ray-")
    words = [
        "start", "--head", "--block", f"--port={port}", f"--ray-client-server-port={client}", "--num-cpus=2",
        "--include-dashboard=false", "--disable-usage-stats", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}",
        "--object-store-memory=100000000",
    ]  # fmt: skip
    replace = {
        "num_gpus=8": "num_gpus=0", "ray://ray-head:10001": f"ray://127.0.0.1:{client}", "num_samples=1000": "num_samples=3",
        "max_concurrent_trials=32": "max_concurrent_trials=2",
    }  # fmt: skip
    before = """
import json
from sklearn.datasets import load_breast_cancer
X_train, y_train = load_breast_cancer(return_X_y=True, as_frame=True)
"""
    after = "print(json.dumps([result.score(X_train, y_train), len(result.leaderboard())]))"
    path = script(1, tmp_path, replace, before=before, after=after)
    try:
        with running(tmp_path, str(command), *words, port=client):
            score, trials = run(path, env={"AUTOML_DIRECTORY": str(tmp_path)})
    except AssertionError as error:
        for log in Path(folder).glob("session_2*/logs/ray_client_server*.err"):
            error.add_note(f"{log.name}: {log.read_text()[-3000:]}")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert score > 0.95
    assert trials >= 2


@pytest.mark.slow
def test_example_2_reads_from_s3_on_a_dask_cluster(tmp_path: Path, s3: Any) -> None:
    need("distributed", "s3fs", "automl_dask")
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    for part in range(3):
        numbers = {name: rng.integers(-5, 10, 2000).astype(float) for name in ("column", "a", "b")}
        parquet.write_table(pa.table(numbers | {"target": rng.integers(0, 2, 2000)}), tmp_path / "part.parquet")
        s3.upload_file(str(tmp_path / "part.parquet"), "my-bucket", f"huge-dataset/{part}.parquet")
    port, env = free_port(), {"AWS_ENDPOINT_URL": s3.meta.endpoint_url}
    dask = str(Path(sys.executable).with_name("dask"))
    replace = {"dask-scheduler:8786": f"127.0.0.1:{port}", "n_workers=100": "n_workers=1", "frac=0.001": "frac=0.1"}
    after = "import json; print(json.dumps([list(X.shape), list(y.shape), len(sample), float(ddf['column'].min().compute())]))"
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
    worker = ["worker", f"127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    with running(tmp_path, dask, *scheduler, port=port, env=env), running(tmp_path, dask, *worker, env=env):
        (rows, columns), targets, sampled, least = run(script(2, tmp_path, replace, after=after), env=env)
    assert targets == [rows]
    assert columns == 4  # with the new feature, without the target
    assert 0.05 * rows < sampled < 0.2 * rows
    assert least > 0


def test_example_3_processes_a_file_in_chunks(tmp_path: Path) -> None:
    need("automl_dask")
    import pandas as pd

    table = pd.DataFrame(np.random.default_rng(0).integers(0, 100, (5000, 2)), columns=["a", "b"])
    table.to_csv(tmp_path / "huge_file.csv", index=False)
    run(script(3, tmp_path, {"1_000_000": "1_000"}, after="print('null')"))
    processed = pd.read_csv(tmp_path / "processed_file.csv")
    pd.testing.assert_frame_equal(processed, table.assign(feature=table["a"] + table["b"]))


@pytest.mark.slow
def test_example_4_tracks_in_mlflow(tmp_path: Path, s3: Any, make_model: Callable[[Path], None]) -> None:
    need("mlflow", "automl_mlflow")
    make_model(tmp_path / "model.automl")
    port = free_port()
    env = {"MLFLOW_S3_ENDPOINT_URL": s3.meta.endpoint_url, "AWS_ENDPOINT_URL": s3.meta.endpoint_url}
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}",
    ]  # fmt: skip
    before = "import json\nfrom automl import load_model\ntrained_model = load_model('model.automl')"
    after = """
from mlflow import MlflowClient
client = MlflowClient(config.tracking_uri)
run = client.get_run(run_id)
versions = client.search_model_versions("name='production-classifier'")
best = getattr(getattr(best_run, "info", best_run), "run_id", None) or best_run["run_id"]
print(json.dumps([run.info.status, run.data.metrics, run.data.params, len(versions), best == run_id]))
"""
    path = script(4, tmp_path, {"http://mlflow-server:5000": f"http://127.0.0.1:{port}"}, before=before, after=after)
    with running(tmp_path, *command, port=port, env=env):
        status, metrics, params, versions, found = run(path, env={**env, "AUTOML_DIRECTORY": str(tmp_path)})
    assert status == "FINISHED"
    assert metrics["test_score"] == 0.91
    assert params["max_depth"] == "8"
    assert versions == 1
    assert found
    kept = [item["Key"] for item in s3.list_objects_v2(Bucket="my-bucket").get("Contents", [])]
    assert any(key.startswith("mlflow-artifacts/") for key in kept), kept


@pytest.mark.slow
def test_example_5_serves_with_a_cache(tmp_path: Path, make_model: Callable[[Path], None]) -> None:
    need("automl_redis", "automl_starlette")
    if shutil.which("redis-server") is None:
        missing("redis-server")
    make_model(tmp_path / "production_model.pkl")
    port, redis = free_port(), free_port()
    replace = {
        "redis-cluster.example.com": "127.0.0.1", "6379": str(redis), "0.0.0.0": "127.0.0.1", "port=8000": f"port={port}",
        "workers=16": "workers=2",
    }  # fmt: skip
    path = script(5, tmp_path, replace, after="print(callable(app), redis_cache.get('nothing'))")
    server = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with running(tmp_path, *server, port=redis), running(tmp_path, sys.executable, path.name, port=port) as process:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict",
            b'{"x0": 2.0, "x1": 0.0, "x2": 0.0}',
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            said = json.loads(answer.read())
        os.kill(process, signal.SIGTERM)
        for _ in range(300):
            if (tmp_path / f"{Path(sys.executable).name}-{port}.log").read_text().endswith("True None\n"):
                break
            time.sleep(0.1)
        else:
            pytest.fail((tmp_path / f"{Path(sys.executable).name}-{port}.log").read_text()[-3000:])
    assert "1" in json.dumps(said["predictions"])


def test_example_6_monitors(tmp_path: Path) -> None:
    need("automl_drift", "automl_prometheus")
    before = """
import json
import numpy as np
random, alarms = np.random.default_rng(0), []
validation_predictions = random.normal(0.3, 0.1, 5000)
production_predictions = [*random.normal(0.3, 0.1, 1000), *random.normal(0.8, 0.1, 1000)]
drawn = iter(range(10**6))
production_predictions = (value for value in production_predictions if next(drawn) >= 0)
def trigger_retraining_pipeline():
    alarms.append(next(drawn))
def send_alert(text):
    raise AssertionError(text)
"""
    after = "print(json.dumps([alarms[:1], degraded, metrics_text]))"
    (first,), degraded, text = run(script(6, tmp_path, {}, before=before, after=after))
    assert 1000 < first < 1200  # after the change, and soon
    assert degraded is False
    assert 'automl_requests_total{model="v1.2.3"} 1.0' in text
