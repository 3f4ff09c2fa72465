"""A server of Google's storage API on loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

# The emulator knows no preconditions. This adds the one that counts, as Google documents it: ifGenerationMatch=0 is
# answered with 412 where there is a live object.
SERVER = """
import sys, threading
from http import HTTPStatus
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

insert, lock = objects.insert, threading.Lock()

def insert_if_absent(request, response, storage, *args, **kwargs):
    with lock:
        if request.query.get("ifGenerationMatch") == ["0"]:
            data = request.data
            name = request.query["name"][0] if "name" in request.query else (data.get("meta") or data)["name"]
            try:
                storage.get_file_obj(request.params["bucket_name"], name)
            except NotFound:
                pass
            else:
                response.status = HTTPStatus.PRECONDITION_FAILED
                return response.json({"error": {"code": 412, "message": "conditionNotMet"}})
        return insert(request, response, storage, *args, **kwargs)

objects.insert = insert_if_absent
from gcp_storage_emulator.server import create_server
create_server("127.0.0.1", int(sys.argv[1]), in_memory=True).run()
"""


class Server:
    """The emulator in a process of its own, that can be stopped and started again; what it held is then lost."""

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
        raise RuntimeError(f"the emulator does not answer: {self.log.read_text()}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def make_bucket(self) -> str:
        bucket = f"b{uuid4().hex}"
        request = urllib.request.Request(
            f"{self.url}/storage/v1/b?project=test",
            json.dumps({"name": bucket}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
        return bucket


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("gcs") / "log")
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[object]:
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(tmp_path / "log"))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def bucket(server: Server) -> str:
    return server.make_bucket()


@pytest.fixture
def block(server: Server) -> dict[str, object]:
    """Settings that reach the server."""
    return {"endpoint_url": server.url, "anonymous": True}


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GCSFS_", "STORAGE_EMULATOR"))]:
        monkeypatch.delenv(name)
