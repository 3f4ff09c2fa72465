"""The stack as processes, as an operator runs it: a study becomes a champion that is served and watched; what is stopped
turns exactly its lines of `automl doctor` red, and predictions go on.
"""

from __future__ import annotations

import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deployment import missing, need

from automl import AutoML, load_model
from automl.artifact import read_manifest
from automl.cli.app import cli
from automl.doctor.web import ask
from automl.stack.needs import program_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]
ROWS = [{"x": 0.1 * n, "z": 1.0} for n in range(20)]
LIGHT = {"AUTOML_LEARNERS": "sklearn.linear"}
# Each row asks Redis, as it would where a prediction costs more than that.
CACHED = {"AUTOML_SERVER_CACHE": "always", "AUTOML_SERVER_LOCAL_ROWS": "0"}
# Part by part: the lines of the doctor that are about it.
LINES = {
    "redis": {"cache redis", "redis memory"},
    "alertmanager": {"alert route"},
    "prometheus": {
        "scrape", "SLA monitoring", "alert for drift", "alert for performance", "dashboards", "alert route",
    },
    "mlflow": {"MLflow", "model"},  # a server that starts now could not resolve its alias
    "ray": {"Ray cluster"},
    "dask": {"executor dask", "Dask cluster"},  # last, as each look for a scheduler that is not there takes ten seconds
}  # fmt: skip
SERVER = {"server", "models", "metrics of the server"}
# What nothing on one machine can make well: Kubernetes, Grafana, and people.
ELSEWHERE = {
    "load balancer", "autoscaling", "disruptions", "Grafana", "dashboards in Grafana", "disaster recovery", "on-call",
    "load test",
}  # fmt: skip
# What depends on the machine that the test runs on, and on how the packages were built.
MACHINE = {"disk", "kernel", "open files", "versions"}


class Pager(ThreadingHTTPServer):
    """Whoever is on call: keeps the names of alerts that Alertmanager sends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Webhook)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.alerts: list[tuple[str, str]] = []


class Webhook(BaseHTTPRequestHandler):
    server: Pager

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.alerts += [(alert["labels"]["alertname"], alert["status"]) for alert in told["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep the output of tests clean."""


class Stack:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The server keeps what it is asked, and an alert of the drift monitor starts a fit, as soon as labels come.
        ledger = str(folder / "engine/rows.sqlite")
        self.watched = {
            "AUTOML_LISTENERS": "retrain", "AUTOML_PLUGINS__RETRAIN__NAME": "income",
            "AUTOML_PLUGINS__RETRAIN__LEDGER": ledger, "AUTOML_SERVER_LEDGER": ledger,
        }  # fmt: skip
        self.variables: dict[str, str] = {}  # what programs need to use it
        self.states: dict[str, str] = {}  # what the doctor said last of each check

    def run(self, *words: str, code: int | None = 0) -> str:
        command = [sys.executable, "-m", "automl", "stack", *words, "--directory", str(self.folder / "stack")]
        settings = {**os.environ, "AUTOML_DIRECTORY": str(self.folder / "engine"), **CACHED, **self.watched}
        done = subprocess.run(command, capture_output=True, text=True, env=settings)
        assert code in (done.returncode, None), done.stderr
        return done.stdout

    def up(self, *words: str) -> None:
        exported = [line.removeprefix("export ") for line in self.run("up", *words).splitlines() if line]
        self.variables = dict(shlex.split(line)[0].split("=", 1) for line in exported) | LIGHT | self.watched
        self.variables["AUTOML_DOCTOR_BACKUP"] = str(self.folder / "backups")

    def automl(self, *words: str, code: int | None = 0) -> str:
        result = CliRunner().invoke(cli, words, env=self.variables)
        assert code in (result.exit_code, None), result.output
        return result.stdout

    def parts(self, *, code: int | None = 0) -> dict[str, dict[str, Any]]:
        return {part["name"]: part for part in json.loads(self.run("status", "--json", code=code))}

    def doctor(self, *, code: int = 0) -> dict[str, str]:
        findings = json.loads(self.automl("doctor", "--json", code=code))["findings"]
        states = {finding["check"]: finding["state"] for finding in findings}
        assert len(states) == len(findings)
        self.states = states
        return states

    def predict(self, row: dict[str, float]) -> tuple[int, Any]:
        key = (self.folder / "stack/secrets/API_KEYS").read_text().split()[0]
        address = self.variables["AUTOML_DOCTOR_URL"].removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=20)
        headers = {"content-type": "application/json", "x-api-key": key}
        connection.request("POST", "/predict", json.dumps(row), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def stop(self, pid: int) -> None:
        """End a part with all that it started, some of which goes on for a while."""
        for one in family(pid):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGTERM)
            wait(lambda one=one: not alive(one))


def wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.1)


def family(pid: int) -> list[int]:
    """Return a process, then all that descend from it."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            found += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def pager() -> Iterator[Pager]:
    with Pager() as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, pager: Pager) -> Iterator[Stack]:
    """A stack that serves the champion of its own registry."""
    need("redis-server", "redis-server")
    need("prometheus", "prometheus")
    if not program_of("alertmanager"):
        missing("prometheus-alertmanager", "prometheus-alertmanager")
    for package in ("mlflow", "ray", "distributed"):
        if find_spec(package) is None:
            missing(package, f"automl-sdk[{package.replace('distributed', 'dask')}]")
    running = Stack(tmp_path_factory.mktemp("stack"))
    try:
        running.up("--with", "ray,dask", "--on-call", pager.url)
        # Ray Tune takes half a minute on a busy machine, and has tests of its own.
        with patch.dict(os.environ, running.variables | {"AUTOML_SEARCH": "random"}):
            study(running.folder / "model.automl")
        running.automl("registry", "add", "income", str(running.folder / "model.automl"), "--alias", "challenger")
        running.automl("registry", "promote", "income", "challenger")
        running.up("models:/income@champion")
        yield running
    finally:
        running.run("down")


def study(file: Path) -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=300), rng.normal(size=300)
    automl = AutoML(max_trials=2, folds=2, time_limit=None, n_jobs=1)
    automl.fit(pa.table({"x": x, "z": z, "y": x + z}), target="y")
    automl.save(file)


def counted(stack: Stack, query: str) -> float:
    address = stack.variables["AUTOML_DOCTOR_PROMETHEUS"]
    found = ask(f"{address}/api/v1/query?query={quote(query)}").json()["data"]["result"]
    return float(found[0]["value"][1]) if found else 0.0


# In this order: a module's stack is taken apart step by step.


def test_champion_of_the_registry_is_served(stack: Stack) -> None:
    status, told = stack.predict(ROWS[0])
    assert status == 200
    assert told["predictions"] == load_model(stack.folder / "model.automl").predict(ROWS[:1]).tolist()


def test_prometheus_counts_what_was_sent_and_what_redis_knew(stack: Stack) -> None:
    requests, hits = "sum(automl_requests_total)", "sum(automl_cache_hits_total)"
    assert [stack.predict(row)[0] for row in 2 * ROWS[1:]] == [200] * 38
    wait(lambda: counted(stack, requests) >= 39)
    assert counted(stack, requests) == 39
    assert counted(stack, hits) == 19


def test_study_is_in_mlflow(stack: Stack) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(stack.variables["MLFLOW_TRACKING_URI"])
    assert json.loads(stack.automl("registry", "list", "income", "--json"))[0]["aliases"] == ["challenger", "champion"]
    wait(lambda: "0 studies wait" in stack.automl("tracker", "flush", code=None))
    study = read_manifest(stack.folder / "model.automl")["info"]["study"]
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (parent,) = client.search_runs(experiments, f"tags.`automl.study` = '{study}'")
    trials = client.search_runs(experiments, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert [run.info.status for run in (parent, *trials)] == ["FINISHED"] * 3


def test_page_reaches_whoever_is_on_call(stack: Stack, pager: Pager) -> None:
    manager = stack.parts()["alertmanager"]["address"]
    command = ["amtool", "alert", "add", "TestPage", "severity=page", f"--alertmanager.url={manager}"]
    subprocess.run(command, check=True)
    wait(lambda: ("TestPage", "firing") in pager.alerts)


def test_doctor_is_green(stack: Stack) -> None:
    (stack.folder / "backups").mkdir()
    stack.automl("backup", str(stack.folder / "backups/first.tar"))
    states = stack.doctor()
    assert {check for check, state in states.items() if state in ("not configured", "by hand")} == ELSEWHERE
    well = {check for check, state in states.items() if state == "ok"}
    assert states.keys() - well - MACHINE == ELSEWHERE
    assert well >= set.union(*LINES.values(), SERVER) | {"secrets", "clock", "backup", "retraining"}


def test_up_leaves_what_runs(stack: Stack) -> None:
    before, variables = stack.parts(), stack.variables
    stack.up()
    assert (stack.parts(), stack.variables) == (before, variables)


@pytest.mark.parametrize("part", LINES)
def test_what_is_stopped_turns_its_lines_red_and_predictions_go_on(stack: Stack, part: str) -> None:
    before, pids = stack.states, {name: found["pid"] for name, found in stack.parts(code=None).items()}
    stack.stop(pids[part])
    assert stack.doctor(code=1) == before | dict.fromkeys(LINES[part], "failed")
    assert stack.predict({"x": time.time(), "z": 1.0})[0] == 200


def test_up_makes_all_of_it_green_where_it_was(stack: Stack) -> None:
    down = {name for name, part in stack.parts(code=1).items() if part["state"] != "up"}
    assert down == {*LINES, "dask-workers"}
    before = stack.variables
    stack.up()
    assert stack.variables == before
    assert [check for check, state in stack.doctor().items() if state == "failed"] == []


def test_without_the_server_its_lines_are_red(stack: Stack) -> None:
    before = stack.states
    stack.stop(stack.parts()["server"]["pid"])
    red = {check for check, state in stack.doctor(code=1).items() if state != before[check]}
    assert red - {"scrape"} == SERVER  # Prometheus sees it seconds later
