"""The server against the ceiling: a raw ASGI application on the same uvicorn that does nothing but parse and predict.

Beside the rate it prints the time of processors that a request takes, which other work on the machine disturbs little.

Needs wrk (`apt-get install wrk`). Run it with `pytest -m benchmark -s tests/benchmarks/bench_serving.py`. Where there are
two cores or more, server and load have one each; other work on the machine disturbs both sides of a ratio alike.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytestmark = pytest.mark.benchmark
pytest.importorskip("automl_starlette")

COLUMNS, SECONDS, BODIES = 20, 3, 200
# No checks, no encoder, no limits, no counts: names in their order, values as they are.
CEILING = """
import gc
import numpy as np
import orjson
from automl import load_model

model = load_model("m.automl")
names, predict = model.names, model.predictor.predict
gc.collect()
gc.freeze()

async def app(scope, receive, send):
    data = (await receive()).get("body", b"")
    if data:
        rows = orjson.loads(data)
        values = [[rows[name] for name in names]] if isinstance(rows, dict) else rows
        data = orjson.dumps({"predictions": predict(np.array(values, dtype=np.float32))[:, 1].tolist()})
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": data})
"""
# Bodies rotate: one and the same row would come from the cache, and the processor would know the way through the trees.
SCRIPT = """
local bodies, next = {}, 0
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
function request()
  next = next % #bodies + 1
  return wrk.format("POST", "/predict", {["content-type"] = "application/json"}, bodies[next])
end
"""
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def pinned(command: list[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command] if len(cores) > 1 else command


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("wrk") is None:
        pytest.skip("needs wrk: apt-get install wrk")
    from automl import AutoML
    from automl_core.settings import load_settings

    folder = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, COLUMNS)).round(6)
    names = [f"f{i}" for i in range(COLUMNS)]
    columns = {name: x[:, i] for i, name in enumerate(names)}
    target = np.where(x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(0, 0.3, 4000) > 0, "yes", "no")
    settings = load_settings(learners="lightgbm")
    engine = AutoML(max_trials=1, time_limit=60, n_jobs=1, settings=settings)
    engine.fit(pa.table({**columns, "y": target}), target="y").save(folder / "m.automl")
    rows = [dict(zip(names, row, strict=True)) for row in rng.normal(size=(20_000, COLUMNS)).round(6).tolist()]
    write(folder / "single", rows)
    write(folder / "hundred", [[list(row.values()) for row in rows[i : i + 100]] for i in range(0, 20_000, 100)])
    (folder / "ceiling.py").write_text(CEILING)
    (folder / "load.lua").write_text(SCRIPT)
    return folder


def write(path: Path, bodies: list[Any]) -> None:
    path.write_text("\n".join(json.dumps(body) for body in bodies))


def run_server(folder: Path, command: list[str], port: int, **environment: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        pinned(command, 0), cwd=folder, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    for _ in range(400):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
            return process
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server does not answer")


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[dict[str, Running]]:
    ports = {name: free_port() for name in ("ceiling", "ours", "all features")}
    uvicorn = [
        "-m",
        "uvicorn",
        "ceiling:app",
        "--no-access-log",
        "--log-level",
        "warning",
        "--loop",
        "uvloop",
        "--http",
        "httptools",
    ]
    ours = {"AUTOML_MODEL_URI": str(folder / "m.automl"), "AUTOML_SERVER_LOCAL_ROWS": "0"}
    # The page's counts, request ids and limits are always on; these add to them.
    features = {"AUTOML_MONITORS": "drift,prometheus"}
    running = [
        run_server(folder, [sys.executable, *uvicorn, "--port", str(ports["ceiling"])], ports["ceiling"]),
        run_server(folder, [sys.executable, "-m", "automl.serving"], ports["ours"], **ours, AUTOML_PORT=str(ports["ours"])),
        run_server(
            folder, [sys.executable, "-m", "automl.serving"], ports["all features"], **ours, **features,
            AUTOML_PORT=str(ports["all features"]),
        ),
    ]  # fmt: skip
    yield {name: Running(ports[name], process) for name, process in zip(ports, running, strict=True)}
    for process in running:
        process.terminate()
        process.wait(30)


@dataclass(frozen=True)
class Running:
    """A server under load."""

    port: int
    process: subprocess.Popen[bytes]

    def used(self) -> float:
        """Return the seconds of processors that the server and its workers took."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        fields = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split() for one in (pid, *children)]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    """Requests a second; seconds of processors a request; the median and 99th percentile of latency in seconds."""

    rate: float
    cost: float
    median: float
    worst: float


def load(folder: Path, running: Running, bodies: str, connections: int) -> Measured:
    before = running.used()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--latency", "-s", str(folder / "load.lua")]
    done = subprocess.run(
        pinned([*command, f"http://127.0.0.1:{running.port}/predict"], 1),
        env={**os.environ, "BODIES": str(folder / bodies)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Non-2xx" not in done.stdout, done.stdout
    rate, requests = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout), re.search(r"(\d+) requests in", done.stdout)
    parts = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", done.stdout))
    assert rate, done.stdout
    assert requests, done.stdout
    cost = (running.used() - before) / int(requests.group(1))
    return Measured(float(rate.group(1)), cost, seconds(parts["50"]), seconds(parts["99"]))


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * UNITS[unit]


def tell(title: str, measured: Measured, ceiling: Measured, rows: int = 1) -> None:
    print(
        f"{title}: {rows * measured.rate:,.0f} predictions/s, {100 * measured.rate / ceiling.rate:.0f} % of the ceiling"
        f" ({100 * ceiling.cost / measured.cost:.0f} % by time of processors, {1e6 * measured.cost:.0f} us),"
        f" p50 {1e6 * measured.median:,.0f} us, p99 {1e3 * measured.worst:.1f} ms"
    )


@pytest.mark.parametrize("connections", [1, 16, 64])
def test_single_rows(servers: dict[str, Running], folder: Path, connections: int) -> None:
    print()
    ceiling = load(folder, servers["ceiling"], "single", connections)
    for name in servers:
        measured = ceiling if name == "ceiling" else load(folder, servers[name], "single", connections)
        tell(f"single rows, {connections} connections, {name}", measured, ceiling)


def test_hundred_rows(servers: dict[str, Running], folder: Path) -> None:
    ceiling = load(folder, servers["ceiling"], "hundred", 8)
    print()
    tell("100 rows, 8 connections, ours", load(folder, servers["ours"], "hundred", 8), ceiling, 100)
