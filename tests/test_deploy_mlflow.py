"""The entry point of the MLflow image, on a real PostgreSQL."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DEPLOY, need
from postgres import Postgres, running_postgres

pytest.importorskip("psycopg2")
HOSTS = ("mlflow-service:5000", "mlflow:5000")  # what Kubernetes and compose call it


class Server:
    def __init__(self, postgres: Postgres, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (folder / "password").write_text("s3cret\n")
        variables = {
            **os.environ, "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(postgres.port), "MLFLOW_WORKERS": "1",
            "POSTGRES_PASSWORD_FILE": str(folder / "password"), "ARTIFACTS": str(folder / "artifacts"), "MLFLOW_PORT": str(self.port),
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
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(postgres, tmp_path_factory.mktemp("mlflow"))
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
def test_another_host_is_refused(server: Server) -> None:
    # A page of somebody else's in a browser inside the network could ask otherwise.
    assert server.ask("GET", "/api/2.0/mlflow/registered-models/search", "evil.example.com")[0] == 403


@pytest.mark.slow
def test_probe_by_address_is_answered(server: Server) -> None:
    assert server.ask("GET", "/health", "10.1.2.3:5000")[0] == 200


@pytest.mark.slow
def test_password_is_in_no_list_of_processes_and_no_log(server: Server) -> None:
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [line for line in lines if b"s3cret" in line] == []
    assert "s3cret" not in server.log.read_text()
