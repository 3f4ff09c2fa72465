"""The stack as processes: it starts, `automl doctor` finds it well, and what is stopped turns exactly its lines red."""

from __future__ import annotations

import http.client
import json
import os
import shlex
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
from deployment import need

from automl import AutoML
from automl.cli.app import cli


class Stack:
    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.settings = {**os.environ, "AUTOML_DIRECTORY": str(folder / "engine")}
        # MLflow has tests of its own, and takes a minute to start on a busy machine.
        self.run("up", str(model), "--without", "mlflow")
        self.parts: dict[str, Any] = {part["name"]: part for part in self.status()[1]}
        lines = [line.removeprefix("export ") for line in self.run("env").stdout.splitlines()]
        self.variables = {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}

    def run(self, word: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "automl", "stack", word, *arguments, "--directory", str(self.folder / "stack")]
        done = subprocess.run(command, capture_output=True, text=True, env=self.settings)
        assert done.returncode == code, done.stderr
        return done

    def status(self, *, code: int = 0) -> tuple[dict[str, str], list[dict[str, Any]]]:
        found = json.loads(self.run("status", "--json", code=code).stdout)
        return {part["name"]: part["state"] for part in found}, found

    def doctor(self) -> tuple[int, dict[str, str]]:
        """Return the exit code and the state of each check, as the server's own settings see it."""
        result = CliRunner().invoke(cli, ["doctor", "--json", "--for", "serving"], env=self.variables)
        assert result.stdout, result.output
        return result.exit_code, {item["check"]: item["state"] for item in json.loads(result.stdout)["findings"]}

    def predict(self) -> int:
        key = (self.folder / "stack/secrets/API_KEYS").read_text().split()[0]
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
    running.run("down")


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
def test_up_leaves_what_runs(stack: Stack) -> None:
    stack.run("up")
    assert stack.status()[1] == list(stack.parts.values())


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
def test_status_names_what_is_down(stack: Stack) -> None:
    assert stack.status(code=1)[0] == {"redis": "down", "server": "down", "prometheus": "down"}


@pytest.mark.slow
def test_up_starts_what_is_down_and_down_ends_it(stack: Stack) -> None:
    stack.run("up", "--without", "server,prometheus")
    states, found = stack.status()
    assert states == {"redis": "up"}
    assert found[0]["address"] == stack.parts["redis"]["address"]
    stack.run("down")
    assert not alive(found[0]["pid"])
    assert stack.status(code=1)[0] == {"redis": "down"}
