"""What benchmarks of servers share: processes on a core of their own, and wrk on another one."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Measured", "Running", "free_port", "load", "running", "write_bodies"]

SECONDS = 3
# Bodies rotate: one and the same row would come from a cache, and the processor would know the way through the trees.
SCRIPT = """
local bodies, next = {}, 0
local binary = os.getenv("KIND") ~= "application/json"
for line in io.lines(os.getenv("BODIES")) do
  if binary then line = line:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end) end
  bodies[#bodies + 1] = line
end
local headers = {["content-type"] = os.getenv("KIND")}
if os.getenv("KEY") ~= "" then headers["x-api-key"] = os.getenv("KEY") end
function request()
  next = next % #bodies + 1
  return wrk.format("POST", os.getenv("TARGET"), headers, bodies[next])
end
"""
# Between an answer and the next request of a connection: milliseconds, evenly spread from 0 to twice the mean.
PAUSES = """
local seed, bound = 1, 2 * tonumber(os.getenv("PAUSE"))
function delay()
  seed = (seed * 16807) % 2147483647
  return math.floor(bound * seed / 2147483647 + 0.5)
end
"""
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_bodies(path: Path, bodies: list[Any]) -> None:
    """Write a body a line: bytes in hexadecimal, anything else as JSON."""
    path.write_text("\n".join(body.hex() if isinstance(body, bytes) else json.dumps(body) for body in bodies))


def pinned(command: list[str], core: int) -> list[str]:
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), *command] if len(cores) > 1 else command


@dataclass(frozen=True)
class Running:
    """A server under load."""

    port: int
    process: subprocess.Popen[bytes]

    def used(self) -> float:
        """Return the seconds of processors that the server and its workers took."""
        pids, total = [self.process.pid], 0
        for pid in pids:
            try:
                pids += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended
                continue
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    folder: Path, command: list[str], port: int, *, ready: str, apart: bool = True, **environment: str
) -> Iterator[Running]:
    """Run a server until it is ready, and end it with all that it started; `apart` gives it the first core alone."""
    log = folder / f"{port}.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            pinned(command, 0) if apart else command, cwd=folder, env={**os.environ, **environment}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()[-2000:]
                time.sleep(0.05)
        else:
            raise RuntimeError(f"the server does not answer: {log.read_text()[-2000:]}")
        yield Running(port, process)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its session: workers that outlive it


@dataclass(frozen=True)
class Measured:
    """Requests a second; seconds of processors a request; the median, 99th percentile and longest latency in seconds."""

    rate: float
    cost: float
    median: float
    worst: float
    longest: float


def load(
    folder: Path, server: Running, bodies: str, connections: int, *, path: str = "/predict", pause: float = 0.0,
    kind: str = "application/json", key: str = "", apart: bool = True, seconds: int = SECONDS,
) -> Measured:  # fmt: skip
    """Load a server with the requests in a file of `folder`, from the second core or, not `apart`, from wherever.

    Args:
        pause: seconds on average between an answer and the next request of a connection.
        kind: content type of the bodies. key: of the API, where it wants one.
    """
    if shutil.which("wrk") is None:
        pytest.skip("needs wrk: apt-get install wrk")
    (folder / "load.lua").write_text(SCRIPT + (PAUSES if pause else ""))
    before = server.used()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", str(folder / "load.lua")]
    command.append(f"http://127.0.0.1:{server.port}")
    told = {"BODIES": str(folder / bodies), "TARGET": path, "PAUSE": str(1e3 * pause), "KIND": kind, "KEY": key}
    done = subprocess.run(
        pinned(command, 1) if apart else command, env={**os.environ, **told}, capture_output=True, text=True, check=True
    )
    assert "Non-2xx" not in done.stdout, done.stdout
    rate, requests = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout), re.search(r"(\d+) requests in", done.stdout)
    parts = dict(re.findall(r"(50|99)%\s+([\d.]+(?:us|ms|s))", done.stdout))
    longest = re.search(r"Latency\s+\S+\s+\S+\s+(\S+)", done.stdout)
    assert rate, done.stdout
    assert longest, done.stdout
    assert requests, done.stdout
    cost = (server.used() - before) / max(int(requests.group(1)), 1)
    return Measured(float(rate.group(1)), cost, _seconds(parts["50"]), _seconds(parts["99"]), _seconds(longest[1]))


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * UNITS[unit]
