"""The stack as processes: it starts, `automl doctor` finds it well, and what is stopped turns exactly its lines red."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deployment import DEPLOY, need

from automl import AutoML
from automl.cli.app import cli

DASHBOARD = DEPLOY / "grafana/dashboards/automl.json"


class Stack:
    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        command = [sys.executable, str(DEPLOY / "stack"), "--folder", str(folder), "--model", str(model)]
        # MLflow has tests of its own, and takes a minute to start on a busy machine.
        command += ["--workers", "2", "--without", "mlflow"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until = time.monotonic() + 150
        while not (folder / "stack.json").is_file():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.terminate()
                raise AssertionError(f"the stack did not start:\n{self.process.communicate()[0]}")
            time.sleep(0.1)
        self.parts: dict[str, Any] = json.loads((folder / "stack.json").read_text())["parts"]
        self.variables = dict(line.split("=", 1) for line in (folder / "server.env").read_text().splitlines())

    def doctor(self) -> tuple[int, dict[str, str]]:
        """Return the exit code and the state of each check, as the server's own settings see it."""
        command = ["doctor", "--json", "--for", "serving", "--url", self.parts["server"]["address"]]
        command += ["--prometheus", self.parts["prometheus"]["address"], "--dashboard", str(DASHBOARD)]
        result = CliRunner().invoke(cli, command, env=self.variables)
        assert result.stdout, result.output
        return result.exit_code, {item["check"]: item["state"] for item in json.loads(result.stdout)["findings"]}

    def predict(self) -> int:
        key = (self.folder / "secrets/API_KEYS").read_text().split()[0]
        connection = http.client.HTTPConnection(self.parts["server"]["address"].removeprefix("http://"), timeout=20)
        headers = {"content-type": "application/json", "x-api-key": key}
        connection.request("POST", "/predict", json.dumps({"x": time.time(), "z": 1}), headers)
        status = connection.getresponse().status
        connection.close()
        return status

    def kill(self, name: str) -> None:
        os.kill(self.parts[name]["pid"], signal.SIGKILL)
        until = time.monotonic() + 10
        while alive(self.parts[name]["pid"]) and time.monotonic() < until:
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=90)
        return self.process.returncode


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    need("redis-server", "redis-server")
    need("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=300), rng.normal(size=300)
    AutoML(max_trials=1, time_limit=60, n_jobs=1).fit(pa.table({"x": x, "z": z, "y": x + z}), target="y").model_.save(
        folder / "m.automl"
    )
    running = Stack(folder, folder / "m.automl")
    yield running
    if running.process.poll() is None:
        running.stop()


def failed(states: dict[str, str]) -> set[str]:
    return {check for check, state in states.items() if state == "failed"}


# In this order: a module's stack is taken apart step by step.


@pytest.mark.slow
def test_doctor_finds_the_stack_well(stack: Stack) -> None:
    code, states = stack.doctor()
    assert failed(states) == set()
    assert code == 0
    well = {
        "model",
        "server",
        "models",
        "metrics of the server",
        "scrape",
        "SLA monitoring",
        "alert for drift",
        "dashboards",
    }
    assert {check for check in well if states[check] != "ok"} == set()
    assert {states["cache redis"], states["redis memory"], states["clock"]} == {"ok"}


@pytest.mark.slow
def test_secrets_of_the_stack_are_private(stack: Stack) -> None:
    assert stack.doctor()[1]["secrets"] == "ok"


@pytest.mark.slow
def test_without_redis_its_lines_are_red_and_predictions_go_on(stack: Stack) -> None:
    stack.kill("redis")
    code, states = stack.doctor()
    assert code == 1
    assert failed(states) == {"cache redis", "redis memory"}
    assert stack.predict() == 200


@pytest.mark.slow
def test_without_prometheus_its_lines_are_red_too(stack: Stack) -> None:
    before = failed(stack.doctor()[1])
    stack.kill("prometheus")
    assert failed(stack.doctor()[1]) - before == {"scrape"}
    assert stack.predict() == 200


@pytest.mark.slow
def test_without_the_server_its_lines_are_red_too(stack: Stack) -> None:
    before = failed(stack.doctor()[1])
    stack.kill("server")
    assert failed(stack.doctor()[1]) - before == {"server"}


@pytest.mark.slow
def test_end_leaves_nothing_behind(stack: Stack) -> None:
    assert stack.stop() == 0
    assert [name for name, part in stack.parts.items() if alive(part["pid"])] == []
    assert not (stack.folder / "stack.json").exists()
