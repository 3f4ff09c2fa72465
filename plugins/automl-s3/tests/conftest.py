"""A real S3 server on loopback, and a relay in front of it that loses and breaks things."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

SERVER = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


class Server:
    """moto's server in a process of its own, that can be stopped and started again; what it held is then lost."""

    def __init__(self, log: Path, **variables: str) -> None:
        self.variables = variables
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url, self.log = f"http://127.0.0.1:{self.port}", log
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", SERVER, str(self.port)],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.variables},
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


ANSWERS = {
    "busy": (503, "SlowDown", "Please reduce your request rate."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "denied": (403, "AccessDenied", "Access Denied"),
}


class Relay:
    """Hands requests on to a server, but for those whose turn it is to meet a fault.

    Attributes:
        faults: (method, part of the path, fault) in order; each is met once. A fault is a key of ANSWERS, or "hang up"
            before the request is handed on, "lose" the answer to it, or "cut" the answer's body in half.
        sent: bytes of all bodies sent to clients.
    """

    def __init__(self, port: int) -> None:
        self.port, self.faults, self.sent = port, [], 0
        self.lock = threading.Lock()
        relay = self

        class Handler(_Handler):
            owner = relay

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def fault_of(self, method: str, path: str) -> str:
        with self.lock:
            for place, (wanted, part, fault) in enumerate(self.faults):
                if wanted == method and part in path:
                    del self.faults[place]
                    return fault
        return ""


class _Handler(BaseHTTPRequestHandler):
    owner: Relay
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.owner.fault_of(self.command, self.path)
        if fault == "hang up":
            self.close_connection = True
            return
        if fault in ANSWERS:
            status, code, message = ANSWERS[fault]
            text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            self.reply(status, {"Content-Type": "application/xml", "Content-Length": str(len(text))}, text)
            return
        status, headers, data = self.hand_on(body)
        if fault == "lose":
            self.close_connection = True
            return
        self.reply(status, headers, data[: len(data) // 2] if fault == "cut" else data)
        self.close_connection = self.close_connection or fault == "cut"

    def hand_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.owner.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server")
        }
        kept["Content-Length"] = answer.headers.get("Content-Length") or str(len(data))
        connection.close()
        return answer.status, kept, data

    def reply(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
            self.owner.sent += len(data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - what the base class looks for

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    relay = Relay(server.port)
    yield relay
    relay.server.shutdown()
    relay.server.server_close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("moto") / "log")
    yield server
    server.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[object]:
    """Start servers of one's own, with variables in their environment."""
    servers: list[Server] = []

    def start(**variables: str) -> Server:
        servers.append(Server(tmp_path / "log", **variables))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Refuses every key, once a bucket is made."""
    server = Server(tmp_path_factory.mktemp("strict") / "log", INITIAL_NO_AUTH_ACTION_COUNT="1")
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
