"""Real servers on loopback: one node, and a cluster of six."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """A redis-server that can be killed, paused and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port, self.folder, self.options = free_port(), folder, options
        self.socket = folder / f"{self.port}.sock"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--unixsocket", str(self.socket), "--dir", str(self.folder), *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        password = self.options[self.options.index("--requirepass") + 1] if "--requirepass" in self.options else None
        with redis.Redis(port=self.port, password=password) as client:
            for _ in range(200):
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture(scope="session")
def installed() -> None:
    if shutil.which("redis-server") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed")
        pytest.skip("needs redis-server: apt-get install redis-server")


@pytest.fixture
def start_node(installed: None, tmp_path: Path) -> Iterator[object]:
    nodes: list[Node] = []

    def start(*options: str) -> Node:
        nodes.append(Node(tmp_path, *options))
        return nodes[-1]

    yield start
    for node in nodes:
        node.kill()


@pytest.fixture
def node(start_node) -> Node:
    return start_node()


@pytest.fixture
def certified(start_node, tmp_path: Path) -> tuple[int, str]:
    """The port on which a server speaks TLS, and the file of its authority."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    start_node(
        "--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file",
        certificate, "--tls-auth-clients", "no",
    )  # fmt: skip
    return port, certificate


@pytest.fixture(scope="module")
def cluster(installed: None, tmp_path_factory) -> Iterator[list[Node]]:
    folder = tmp_path_factory.mktemp("cluster")
    nodes = []
    for number in range(6):
        options = ("--cluster-enabled", "yes", "--cluster-config-file", f"{number}.conf")
        nodes.append(Node(folder, *options, "--cluster-node-timeout", "1000", "--cluster-port", str(free_port())))
    addresses = [f"127.0.0.1:{node.port}" for node in nodes]
    subprocess.run(
        ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
        check=True, stdout=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            for _ in range(200):
                if client.cluster("info").get("cluster_state") == "ok":
                    break
                time.sleep(0.05)
    yield nodes
    for node in nodes:
        node.kill()
