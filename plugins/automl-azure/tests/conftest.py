"""Azurite, Microsoft's emulator of its storage, on loopback."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient

ACCOUNT, KEY = "testing", base64.b64encode(b"only for tests, never a secret!!").decode()


class Server:
    """Azurite in a process of its own, that can be stopped and started again; what it held is then lost."""

    def __init__(self, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url, self.log = f"http://127.0.0.1:{self.port}/{ACCOUNT}", log
        self.start()

    def start(self) -> None:
        command = [
            "azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--inMemoryPersistence", "--silent",
            "--skipApiVersionCheck", "--disableTelemetry",
        ]  # fmt: skip
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.log.parent)
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.05)
        raise RuntimeError(f"azurite does not answer: {self.log.read_text()}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def make_container(self) -> str:
        container = f"c{uuid4().hex}"
        with BlobServiceClient(self.url, credential=KEY) as client:
            client.create_container(container)
        return container


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if shutil.which("azurite-blob") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("azurite is not installed")
        pytest.skip("needs azurite: npm install --global azurite")
    server = Server(tmp_path_factory.mktemp("azurite") / "log")
    yield server
    server.stop()


@pytest.fixture
def start_server(server: Server, tmp_path: Path) -> Iterator[object]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(tmp_path / "log"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def bucket(server: Server) -> str:
    return server.make_container()


@pytest.fixture
def block(server: Server) -> dict[str, object]:
    """Settings that reach the server."""
    return {"endpoint_url": server.url, "account_name": ACCOUNT, "account_key": KEY}


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
