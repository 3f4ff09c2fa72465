"""The entry point of the MLflow image as compose starts it: on a real PostgreSQL, and an S3 server for artifacts."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from deployment import DEPLOY, need
from postgres import Postgres, running_postgres

pytest.importorskip("psycopg2")
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
HOSTS = ("mlflow-service:5000", "mlflow:5000")  # what Kubernetes and compose call it


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server in place of MinIO, with the bucket that the service `bucket` makes; gives its address."""
    pytest.importorskip("moto.server")
    pytest.importorskip("boto3")
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    address = f"http://127.0.0.1:{port}"
    serve = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", serve, str(port)], stdout=log, stderr=log)
    try:
        told = environment("bucket", {"http://minio:9000": address, "/run/secrets/S3_KEYS": keys(folder)})
        until = time.monotonic() + 60
        while subprocess.run([sys.executable, "-c", SERVICES["bucket"]["command"][0]], env=told).returncode:
            assert time.monotonic() < until
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def keys(folder: Path) -> str:
    """Return a file of credentials, as the script makes it."""
    subprocess.run([DEPLOY / "make-secrets", folder / "secrets"], check=True)
    return str(folder / "secrets/S3_KEYS")


def environment(service: str, places: dict[str, str]) -> dict[str, str]:
    """Return the variables of a service, with places of ours in place of those of its container."""
    told = {name: places.get(value, value) for name, value in SERVICES[service]["environment"].items()}
    return {**os.environ, **told}


class Server:
    def __init__(self, postgres: Postgres, s3: str, folder: Path) -> None:
        self.port = free_port()
        (folder / "password").write_text("s3cret\n")
        places = {
            "postgres": "127.0.0.1", "/run/secrets/POSTGRES_PASSWORD": str(folder / "password"), "/tmp": str(folder),
            "/run/secrets/S3_KEYS": keys(folder), "http://minio:9000": s3,
        }  # fmt: skip
        variables = {
            **environment("mlflow", places), "POSTGRES_PORT": str(postgres.port), "MLFLOW_WORKERS": "1",
            "MLFLOW_PORT": str(self.port),
        }  # fmt: skip
        self.log = folder / "log"
        with self.log.open("wb") as stream:
            command = ["sh", DEPLOY / "mlflow/serve"]
            self.process = subprocess.Popen(
                command, env=variables, cwd=folder, stdout=stream, stderr=stream, start_new_session=True
            )
        until = time.monotonic() + 400
        while not self.answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/health", "127.0.0.1")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, host: str, body: object = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Host": host, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    need("mlflow", "mlflow of PyPI")
    with running_postgres() as server:
        server.ask("create database mlflow", "postgres")
        yield server


@pytest.fixture(scope="module")
def server(postgres: Postgres, s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(postgres, s3, tmp_path_factory.mktemp("mlflow"))
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.parametrize("host", HOSTS)
def test_models_are_kept_in_postgres(server: Server, postgres: Postgres, host: str) -> None:
    name = host.partition(":")[0]
    status, body = server.ask("POST", "/api/2.0/mlflow/registered-models/create", host, {"name": name})
    assert status == 200, body
    assert postgres.ask(f"select name from registered_models where name = '{name}'") == name


@pytest.mark.slow
def test_artifacts_go_through_the_server_to_the_bucket(server: Server, s3: str, tmp_path: Path) -> None:
    import boto3

    path = "/api/2.0/mlflow-artifacts/artifacts/some/model.automl"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("PUT", path, b"trees", {"Host": "mlflow:5000"})
    assert connection.getresponse().status == 200
    connection.close()
    told = {"aws_access_key_id": "automl", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=s3, **told)
    assert client.get_object(Bucket="mlflow", Key="artifacts/some/model.automl")["Body"].read() == b"trees"
    client.close()
    assert server.ask("GET", path, "mlflow:5000") == (200, b"trees")


@pytest.mark.slow
def test_another_host_is_refused(server: Server) -> None:
    # A page of somebody else's in a browser inside the network could ask otherwise.
    assert server.ask("GET", "/api/2.0/mlflow/registered-models/search", "evil.example.com")[0] == 403


@pytest.mark.slow
def test_probe_by_address_is_answered(server: Server) -> None:
    assert server.ask("GET", "/health", "10.1.2.3:5000")[0] == 200


@pytest.mark.slow
def test_password_is_in_no_list_of_processes_and_no_log(server: Server) -> None:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended
            if os.getsid(int(path.parent.name)) == server.process.pid:
                lines.append(path.read_bytes())
    assert lines
    assert [line for line in lines if b"s3cret" in line] == []
    assert "s3cret" not in server.log.read_text()
