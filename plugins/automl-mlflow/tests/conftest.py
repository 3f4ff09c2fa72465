from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


class Server:
    """A real `mlflow server` on loopback, with SQLite behind it; its data outlive it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", str(self.folder / "files"),
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "PYTHONWARNINGS": "ignore"}
            )
        for _ in range(1200):
            try:
                urlopen(f"{self.uri}/health", timeout=1).close()
                return
            except (URLError, OSError):
                assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
                time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text()[-3000:])

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, 15)
            self.process.wait(20)
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("mlflow") / "server")
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables and nothing else: making them takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def directory(tmp_path: Path, empty_store: Path) -> Path:
    """A directory of the engine whose default store is there already."""
    folder = tmp_path / "engine"
    (folder / "mlflow").mkdir(parents=True)
    shutil.copyfile(empty_store, folder / "mlflow" / "mlflow.db")
    return folder


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    def wait(condition: Callable[[], object]) -> None:
        for _ in range(300):
            if condition():
                return
            time.sleep(0.1)
        raise TimeoutError("it did not happen within 30 seconds")

    return wait
