"""`automl stack` on what goes wrong: no program, no model, taken ports, other processes of the same id."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from deployment import need

from automl.cli.app import cli
from automl.stack.ports import choose_ports
from automl.stack.processes import Process, alive, end, spawn
from automl_core.errors import ComponentUnavailable


def run(folder: Path, *words: str, **environment: str) -> Result:
    told = {"AUTOML_DIRECTORY": str(folder), **environment}
    return CliRunner().invoke(cli, ["stack", *words], env=told)


def test_process_is_told_from_another_of_its_id(tmp_path: Path) -> None:
    sleeping = spawn(["/bin/sleep", "60"], environment={}, log=tmp_path / "log", mark=str(tmp_path))
    other = Process(sleeping.pid, "earlier")
    end(other, "another", patience=1, grace=0.1)
    assert alive(sleeping)
    assert not alive(other)
    end(sleeping, str(tmp_path))
    assert not alive(sleeping)
    os.waitpid(sleeping.pid, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_what_a_killed_part_left_behind_is_ended(tmp_path: Path) -> None:
    part = spawn(
        ["/bin/sh", "-c", "sleep 60 & echo $!; wait"], environment={}, log=tmp_path / "log", mark=str(tmp_path)
    )
    while not (text := (tmp_path / "log").read_text()):
        time.sleep(0.01)
    os.kill(part.pid, signal.SIGKILL)
    os.waitpid(part.pid, 0)
    end(part, str(tmp_path))
    state = Path(f"/proc/{int(text)}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_ports_are_kept_unless_they_are_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_ports(["redis"], given={}, before={"redis": port}, used=["redis"]) == {"redis": port}
        assert choose_ports(["redis"], given={}, before={"redis": port}, used=[])["redis"] != port
        with pytest.raises(ComponentUnavailable, match=f"port {port} of redis is taken"):
            choose_ports(["redis"], given={"redis": port}, before={}, used=[])


def test_missing_program_is_named_and_left_out_or_refused_where_asked_for(tmp_path: Path) -> None:
    done = run(tmp_path, "up", "--without", "mlflow", PATH=str(tmp_path))
    assert done.exit_code == 1
    for word in (
        "redis-server is not installed",
        "prometheus is not installed",
        "no model is named",
        "nothing is left",
    ):
        assert word in done.stderr
    done = run(tmp_path, "up", "--with", "redis", PATH=str(tmp_path))
    assert done.exit_code == 1
    assert "apt-get install redis-server" in done.stderr
    done = run(tmp_path, "up", "--on-call", "https://pager.example.com", PATH=str(tmp_path))
    assert done.exit_code == 1
    assert "apt-get install prometheus-alertmanager" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("up", "nowhere.automl"), 1, "there is no model 'nowhere.automl'"),
        (("up", "--with", "reddis"), 2, "Did you mean 'redis'"),
        (("up", "--port", "redis=high"), 2, "PART=NUMBER"),
        (("up", "--on-call", "pager"), 2, "neither http:// nor https://"),
        (("status",), 1, "there is no stack in"),
        (("env",), 1, "there is no stack in"),
    ],
)
def test_mistake_is_explained(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = run(tmp_path, *words)
    assert done.exit_code == code
    assert said in done.stderr


def test_interrupt_leaves_nothing_half_started(tmp_path: Path) -> None:
    need("redis-server", "redis-server")
    hangs = tmp_path / "prometheus"
    hangs.write_text("#!/bin/sh\nexec sleep 100\n")
    hangs.chmod(0o755)
    told = {**os.environ, "AUTOML_DIRECTORY": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "automl", "stack", "up", "--without", "mlflow"]
    with subprocess.Popen(command, env=told, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        while not (tmp_path / "stack/prometheus.log").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        lines = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert {line.split()[0] for line in lines if line.endswith("ended")} == {"redis", "prometheus"}
    assert run(tmp_path, "status").exit_code == 1


LEAVES_A_CHILD = """#!{python}
import http.server, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

(address,) = (word.partition("=")[2] for word in sys.argv if word.startswith("--web.listen-address="))
host, _, port = address.partition(":")
server = http.server.HTTPServer((host, int(port)), Handler)
server.serve_forever() if os.fork() == 0 else time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_part_keeps_its_port_though_the_one_that_was_killed_left_a_child_there(tmp_path: Path) -> None:
    program = tmp_path / "prometheus"
    program.write_text(LEAVES_A_CHILD.format(python=sys.executable))
    program.chmod(0o755)
    words, told = ("--without", "redis,mlflow"), {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    try:
        assert run(tmp_path, "up", *words, **told).exit_code == 0
        (before,) = json.loads(run(tmp_path, "status", "--json").stdout)
        os.kill(before["pid"], signal.SIGKILL)
        os.waitpid(before["pid"], 0)
        assert run(tmp_path, "up", *words, **told).exit_code == 0
        (after,) = json.loads(run(tmp_path, "status", "--json").stdout)
    finally:
        assert run(tmp_path, "down").exit_code == 0
    assert (after["address"], after["state"]) == (before["address"], "up")
    assert after["pid"] != before["pid"]


def test_every_part_of_dask_is_on_loopback_alone(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("distributed")
    try:
        up = run(tmp_path, "up", "--with", "dask", "--without", "redis,mlflow,prometheus")
        assert up.exit_code == 0, up.stderr
        parts = json.loads(run(tmp_path, "status", "--json").stdout)
        assert {part["state"] for part in parts} == {"up"}
        owners = [psutil.Process(part["pid"]) for part in parts if part["pid"]]
        processes = {one for owner in owners for one in (owner, *owner.children(recursive=True))}
        heard = [c.laddr.ip for one in processes for c in one.net_connections("tcp") if c.status == "LISTEN"]
        assert len(heard) >= 3  # the scheduler, a worker's process and its nanny
        assert set(heard) == {"127.0.0.1"}
    finally:
        down = run(tmp_path, "down")
    assert down.exit_code == 0
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)
