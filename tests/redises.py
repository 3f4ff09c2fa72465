"""Real Redis servers on loopback: one node, or a cluster of six."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deployment import need

__all__ = ["Node", "running_cluster", "running_redis"]


class Node:
    """A redis-server that can be killed, paused and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options, self.port = folder, options, free_port()
        self.start()

    def start(self) -> None:
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while self.ask("ping") != "PONG":
            assert time.monotonic() < until
            time.sleep(0.02)

    def ask(self, *words: str) -> str:
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], capture_output=True, text=True)
        return done.stdout.strip()

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[Node]:
    need("redis-server", "redis-server")
    need("redis-cli", "redis-tools")
    node = Node(folder, *options)
    try:
        yield node
    finally:
        node.kill()


@contextmanager
def running_cluster(folder: Path) -> Iterator[list[Node]]:
    """Three masters, each with a replica."""
    with ExitStack() as stack:
        nodes = []
        for number in range(6):
            options = ("--cluster-enabled", "yes", "--cluster-config-file", f"{number}.conf")
            options += ("--cluster-node-timeout", "1000", "--cluster-port", str(free_port()))
            nodes.append(stack.enter_context(running_redis(folder, *options)))
        addresses = [f"127.0.0.1:{node.port}" for node in nodes]
        command = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
        until = time.monotonic() + 30
        while not all("cluster_state:ok" in node.ask("cluster", "info") for node in nodes):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield nodes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
