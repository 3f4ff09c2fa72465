"""The real server under load: killed workers, SIGTERM, new models, Redis that dies, slow clients, public clients."""

from __future__ import annotations

import http.client
import io
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, count, product, repeat
from pathlib import Path
from random import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from redises import Node, running_cluster, running_redis

from automl import AutoML

pytest.importorskip("automl_starlette")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def models() -> list[Any]:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=400), rng.normal(size=400)
    tables = [pa.table({"x": x, "z": z, "y": s * x + z}) for s in (1.0, -1.0)]
    return [AutoML(max_trials=1, time_limit=30, n_jobs=1).fit(table, target="y").model_ for table in tables]


ROW = {"x": 1.0, "z": 0.5}


class Served:
    """A server in processes of its own."""

    def __init__(self, model: Path, *, workers: int = 2, tls: ssl.SSLContext | None = None, **environment: str) -> None:
        self.tls = tls
        self.port = free_port()
        variables = {
            **os.environ, "AUTOML_MODEL_URI": str(model), "AUTOML_PORT": str(self.port), "AUTOML_WORKERS": str(workers),
            "AUTOML_PLUGINS__STARLETTE__DRAIN": "0.5", **environment,
        }  # fmt: skip
        self.process = subprocess.Popen([sys.executable, "-m", "automl.serving"], env=variables)
        for _ in range(600):
            try:
                if self.get("/health/ready")[0] == 200:
                    return
            except OSError:
                assert self.process.poll() is None, "the server ended"
            time.sleep(0.05)
        raise AssertionError("the server is not ready after 30 s")

    def connect(self) -> http.client.HTTPConnection:
        if self.tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def get(self, path: str) -> tuple[int, Any]:
        connection = self.connect()
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, json.loads(body) if body[:1] in b"{[" else body

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)


class Load(threading.Thread):
    """Asks on one connection, again and again, until the server refuses connections or `stop` is set."""

    def __init__(self, served: Served, rows: Iterator[dict[str, float]]) -> None:
        super().__init__(daemon=True)
        self.served, self.rows, self.stop = served, rows, threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.lost: list[str] = []
        self.refused = False

    def run(self) -> None:
        connection = self.served.connect()
        while not self.stop.is_set() and not self.refused:
            try:
                if connection.sock is None:
                    connection.connect()
            except OSError:
                self.refused = True
                return
            try:
                connection.request(
                    "POST", "/predict", json.dumps(next(self.rows)), {"content-type": "application/json"}
                )
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
                continue
            if answer.status == 200:
                self.answers.append(body)
            else:
                self.lost.append(body["error"])
        connection.close()


def load(
    served: Served, count: int = 4, rows: Callable[[], Iterator[dict[str, float]]] = lambda: repeat(ROW)
) -> list[Load]:
    threads = [Load(served, rows()) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def end(threads: list[Load]) -> None:
    for thread in threads:
        thread.stop.set()
    for thread in threads:
        thread.join(20)


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.05)


@pytest.fixture
def serve(models: list[Any], tmp_path: Path) -> Iterator[Callable[..., Served]]:
    path = tmp_path / "m.automl"
    models[0].save(path)
    running: list[Served] = []

    def start(**options: Any) -> Served:
        running.append(Served(path, **options))
        return running[-1]

    yield start
    for served in running:
        served.stop()


def test_sigterm_under_load_loses_nothing(serve) -> None:
    served = serve()
    threads = load(served)
    time.sleep(0.5)
    served.process.terminate()
    assert served.process.wait(20) == 0
    end(threads)
    assert sum(len(thread.answers) for thread in threads) > 50
    assert [thread.lost for thread in threads] == [[]] * 4


def test_killed_worker_comes_back_and_the_other_answers(serve) -> None:
    served = serve()
    before = served.workers()
    threads = load(served)
    time.sleep(0.3)
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(served.workers()) - {before[0]}) == 2, "the worker does not come back")
    time.sleep(0.5)
    end(threads)
    assert before[1] in served.workers()
    # Only what the dead one was just answering is lost, one request a connection at most.
    assert all(len(thread.lost) <= 1 for thread in threads)
    assert served.get("/health/ready")[0] == 200


def test_new_file_takes_over_under_load(serve, models, tmp_path) -> None:
    served = serve(AUTOML_SERVER_RELOAD_SECONDS="0.05")
    expected = {round(float(model.predict(ROW)[0]), 9) for model in models}
    threads = load(served, 2)
    number = count(1)

    def reloaded() -> bool:
        models[next(number) % 2].save(tmp_path / "m.automl")
        return bool(served.get("/stats")[1]["totals"]["reloads"] > 100)  # of both workers together

    until(reloaded, "files are not taken over")
    end(threads)
    answers = [answer for thread in threads for answer in thread.answers]
    by_version: dict[str, set[float]] = {}
    for answer in answers:
        by_version.setdefault(answer["version"], set()).add(round(answer["predictions"][0], 9))
    assert [thread.lost for thread in threads] == [[], []]
    assert all(len(said) == 1 for said in by_version.values())
    assert set().union(*by_version.values()) == expected


def fill(nodes: list[Node]) -> None:
    for node in nodes:
        node.ask("config", "set", "maxmemory-policy", "noeviction")
        node.ask("config", "set", "maxmemory", "1mb")


def restart(nodes: list[Node]) -> None:
    nodes[0].kill()
    time.sleep(0.3)
    nodes[0].start()


TROUBLES: dict[str, Callable[[list[Node]], None]] = {
    "paused": lambda nodes: nodes[0].send(signal.SIGSTOP), "killed": lambda nodes: nodes[0].kill(), "filled": fill,
    "restarted": restart,
}  # fmt: skip


@pytest.fixture
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Node]]:
    pytest.importorskip("automl_redis")
    if request.param == "cluster":
        with running_cluster(tmp_path) as nodes:
            yield nodes
    else:
        with running_redis(tmp_path) as node:
            yield [node]


@pytest.mark.parametrize(
    ("redis", "trouble"),
    list(product(("one node", "cluster"), TROUBLES)),
    indirect=["redis"],
)
def test_redis_in_trouble_under_load_costs_no_prediction(serve, redis, trouble) -> None:
    served = serve(
        REDIS_HOST="127.0.0.1", REDIS_PORT=str(redis[0].port), AUTOML_SERVER_CACHE="always", AUTOML_SERVER_LOCAL_ROWS="0",
        AUTOML_PLUGINS__REDIS__CLUSTER=str(len(redis) > 1), AUTOML_PLUGINS__STARLETTE__DEADLINE="2",
    )  # fmt: skip

    def hits() -> float:
        return float(served.get("/stats")[1]["totals"]["remote_hits"])

    # Every other row is a new one, which is written to Redis.
    threads = load(served, rows=lambda: chain.from_iterable(({"x": n / 7, "z": random()}, ROW) for n in count()))
    until(lambda: hits() > 0, "Redis is not read")
    TROUBLES[trouble](redis)
    time.sleep(0.2)
    before, known = [len(thread.answers) for thread in threads], hits()
    time.sleep(1.5)
    until(lambda: trouble not in ("filled", "restarted") or hits() > known, "Redis is not read any more")
    end(threads)
    assert [thread.lost for thread in threads] == [[]] * 4  # nor was any answer later than the deadline
    assert all(len(thread.answers) > count + 10 for thread, count in zip(threads, before, strict=True))
    if trouble == "filled":
        assert any("errorstat_OOM" in node.ask("info", "errorstats") for node in redis)


def test_slow_clients_are_let_go(serve) -> None:
    served = serve(AUTOML_PLUGINS__STARLETTE__HEADER_TIMEOUT="0.5", AUTOML_PLUGINS__STARLETTE__BODY_TIMEOUT="0.5")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\n"
    for sent in (b"", head, head + b"content-length: 100\r\n\r\nabc"):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as slow:
            slow.sendall(sent)
            answer = slow.recv(1000)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_answers_without_a_body_and_after_a_continue_arrive(serve) -> None:
    served = serve(workers=1)
    with closing(served.connect()) as connection:
        for _ in range(2):
            connection.request("HEAD", "/models")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
            connection.request("HEAD", "/predict")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (405, b"")
    body = json.dumps(ROW).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as patient:
        patient.sendall(head + b"content-length: %d\r\n\r\n" % len(body))
        assert patient.recv(1000).startswith(b"HTTP/1.1 100")
        patient.sendall(body)
        assert patient.recv(1000).startswith(b"HTTP/1.1 200")
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as piped:
        one = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        piped.sendall(3 * one)
        answers = b""
        while answers.count(b"HTTP/1.1 200") < 3 or not answers.endswith(b"}"):
            received = piped.recv(10_000)
            assert received, "the connection was closed"
            answers += received


def ask(connection: socket.socket) -> None:
    body = json.dumps(ROW).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    connection.sendall(head % len(body) + body)
    answer = b""
    while not answer.endswith(b"}"):
        received = connection.recv(2000)
        assert received, "the connection was closed"
        answer += received
    assert answer.startswith(b"HTTP/1.1 200")


def memory(pid: int) -> int:
    """Return the KiB that a process has for itself."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty:", "Private_Clean:")))


@pytest.fixture
def many() -> Iterator[int]:
    """Allow as many open files as there may be, and give a number of connections up to 5,000 that fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server inherits it
    yield 5000 if hard == resource.RLIM_INFINITY else min(5000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_idle_connections_are_kept(serve, many) -> None:
    served = serve(workers=1, AUTOML_PLUGINS__STARLETTE__KEEP_ALIVE="600")
    (worker,) = served.workers()
    before = memory(worker)
    idle = []
    for _ in range(many):
        idle.append(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        ask(idle[-1])
    lines = served.get("/metrics")[1].decode().splitlines()
    counted = next(float(line.split()[1]) for line in lines if line.startswith("automl_server_connections "))
    assert counted >= many
    each = (memory(worker) - before) / many
    assert each < 40
    for connection in idle:
        ask(connection)
    for connection in idle:
        connection.close()


def test_workers_share_the_models_memory(serve) -> None:
    served = serve()
    assert max(memory(pid) for pid in served.workers()) < 40 * 1024


def test_tls_answers_and_plain_http_does_not(serve, tmp_path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    served = serve(
        tls=ssl.create_default_context(cafile=str(certificate)),
        AUTOML_PLUGINS__STARLETTE__TLS_KEY=str(key), AUTOML_PLUGINS__STARLETTE__TLS_CERTIFICATE=str(certificate),
    )  # fmt: skip
    threads = load(served)
    with closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)) as plain:
        plain.request("GET", "/health/ready")
        with pytest.raises((OSError, http.client.HTTPException)):
            plain.getresponse()
    time.sleep(1)
    end(threads)
    assert all(thread.answers and not thread.lost for thread in threads)


def test_taken_port_is_told(serve, models, tmp_path) -> None:
    served = serve()
    command = [sys.executable, "-m", "automl", "serve", str(tmp_path / "m.automl"), "--port", str(served.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr


def test_uvicorn_serves_the_application_of_the_environment(models, tmp_path) -> None:
    models[0].save(tmp_path / "m.automl")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "automl.serving.api:app", "--port", str(port), "--workers", "4"]
    process = subprocess.Popen(command, env={**os.environ, "AUTOML_MODEL_URI": str(tmp_path / "m.automl")})
    try:
        for _ in range(600):
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                    connection.request("POST", "/predict", json.dumps(ROW), {"content-type": "application/json"})
                    assert connection.getresponse().status == 200
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("nothing answers")
    finally:
        process.terminate()
        process.wait(20)


def test_public_client_of_the_protocol_works(serve, models) -> None:
    client_of = pytest.importorskip("tritonclient.http")
    served = serve(workers=1)
    client = client_of.InferenceServerClient(f"127.0.0.1:{served.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("model")
    names = [item["name"] for item in client.get_model_metadata("model")["inputs"]]
    assert names == ["x", "z"]
    for binary in (True, False):
        inputs = []
        for name in names:
            tensor = client_of.InferInput(name, [3], "FP64")
            tensor.set_data_from_numpy(np.array([0.0, 1.0, 2.0]), binary_data=binary)
            inputs.append(tensor)
        outputs = [client_of.InferRequestedOutput("predict", binary_data=binary)]
        said = client.infer("model", inputs, outputs=outputs, request_id="9")
        expected = models[0].predict({"x": [0.0, 1.0, 2.0], "z": [0.0, 1.0, 2.0]})
        np.testing.assert_allclose(said.as_numpy("predict"), expected)
        assert said.get_response()["id"] == "9"
    client.close()


def test_first_arrow_bodies_hold_up_nobody_else(serve) -> None:
    """pyarrow is imported by the first requests that need it, beside the loop that answers the others."""
    served = serve(workers=1)
    sink = io.BytesIO()
    table = pa.table({name: [value] for name, value in ROW.items()})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (other,) = threads = load(served, 1)
    time.sleep(0.3)
    before = len(other.answers)
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    with closing(served.connect()) as first, closing(served.connect()) as second:
        for connection in (first, second):
            connection.request("POST", "/predict", sink.getvalue(), headers)
            time.sleep(0.02)  # while the import is under way
        assert [connection.getresponse().status for connection in (first, second)] == [200, 200]
    during = len(other.answers) - before
    end(threads)
    assert during > 5
    assert other.lost == []
