"""A real S3 server on loopback, and a relay in front of it that loses and breaks things."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

SERVER = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


class Server:
    """moto's server in a process of its own, that can be stopped and started again; what it held is then lost."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url, self.log = f"http://127.0.0.1:{self.port}", log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVER, str(self.port)], stdout=log, stderr=log
            )
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise RuntimeError(f"moto does not answer: {self.log.read_text()}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def make_bucket(self) -> str:
        bucket = f"b{uuid4().hex}"
        client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket=bucket)
        client.close()
        return bucket


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.stop()


@pytest.fixture
def bucket(server: Server) -> str:
    return server.make_bucket()


@pytest.fixture
def block(server: Server) -> dict[str, object]:
    """Settings that reach the server."""
    return {
        "endpoint_url": server.url, "region": "us-east-1", "access_key_id": "id", "secret_access_key": "secret-never-shown",
    }  # fmt: skip


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
