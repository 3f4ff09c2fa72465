"""Limits of the server, as a client meets them: a full queue, the deadline, rows, and memory."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from served import fit_buyers, serving

from automl.model import Model
from automl.predictor import Opaque, Predictor
from automl.service import ServiceOptions
from automl.serving.api import create_app

pytest.importorskip("automl_starlette")
ROW = {"age": 30, "income": 50.0, "city": "Oslo"}
BOMB = gzip.compress(b"[" + b" " * (512 << 20) + b"]", 1)
ROOM = 300 << 10  # KiB; a body has 32 MiB at most, and this one 8 million numbers when it is parsed


class Slow:
    """A member without a flat form that takes its time for each row."""

    def predict(self, values: np.ndarray) -> np.ndarray:
        time.sleep(0.005 * len(values))
        return np.full((len(values), 2), 0.5)


@pytest.fixture(scope="module")
def model() -> Any:
    return fit_buyers()


@pytest.fixture(scope="module")
def slow(model: Any) -> Any:
    columns = len(model.encoder.columns)
    member = Opaque("slow", None, Slow(), keep=np.arange(columns), derived=(), weight=1.0)
    predictor = Predictor([], [member], classes=2, columns=columns)
    return Model(model.encoder, predictor, task="binary", schema=model.schema, classes=("no", "yes"), target="bought")


def ask(client: httpx.Client, count: int) -> list[httpx.Response]:
    """Send rows that differ, at once."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda age: client.post("/predict", json={**ROW, "age": age}), range(20, 20 + count)))


def test_full_queue_refuses_at_once_and_says_when_to_come_back(slow) -> None:
    with serving(create_app(slow, deadline=0.1, options=ServiceOptions(local_rows=0))) as client:
        answers = ask(client, 60)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {200, 429} <= {answer.status_code for answer in answers} <= {200, 429, 504}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert "rows wait already" in refused[0].json()["error"]


def test_answer_later_than_the_deadline_is_told(slow) -> None:
    with serving(create_app(slow, deadline=0.1)) as client:
        answer = client.post("/predict", json=[{**ROW, "age": age} for age in range(20, 60)])
        assert answer.status_code == 504
        assert "deadline" in answer.json()["error"]


def test_too_many_rows_are_refused(model) -> None:
    with serving(create_app(model, options=ServiceOptions(max_rows=3))) as client:
        assert client.post("/predict", json=[ROW] * 3).status_code == 200
        answer = client.post("/predict", json=[ROW] * 4)
    assert answer.status_code == 413
    assert "at most 3" in answer.json()["error"]


@pytest.fixture
def worker(model: Any, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Serve with one worker in a process of its own, and give its port and process."""
    model.save(tmp_path / "m.automl")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told = {**os.environ, "AUTOML_MODEL_URI": str(tmp_path / "m.automl"), "AUTOML_PORT": str(port)}
    parent = subprocess.Popen([sys.executable, "-m", "automl.serving"], env=told)
    try:
        while send(port, b"{}") is None:
            assert parent.poll() is None
            time.sleep(0.05)
        yield port, int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()[0])
    finally:
        parent.terminate()
        parent.wait(30)


def send(port: int, body: bytes, **headers: str) -> int | None:
    """Return the status of a request with this body; None where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", body, {"content-type": "application/json", **headers})
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        connection.close()


def peak(pid: int) -> int:
    """Return the KiB that a process had in memory at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_hostile_bodies_take_no_memory(worker) -> None:
    port, pid = worker
    before = peak(pid)
    deep, wide = b"[" * (1 << 20), json.dumps({f"c{i}": i for i in range(200_000)}).encode()
    for body, headers in (
        (BOMB, {"content-encoding": "gzip"}),
        (deep, {}),
        (wide, {}),
        (b"[[" + b"1," * (8 << 20), {}),
    ):
        for _ in range(3):
            status = send(port, body, **headers)
            assert status is not None
            assert 400 <= status < 500
    assert peak(pid) - before < ROOM
    assert send(port, json.dumps(ROW).encode()) == 200
