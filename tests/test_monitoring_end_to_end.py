"""Traffic that changes, a real server of two workers, a real Prometheus: the alert, the repair, and the refusal to repair."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from automl import AutoML
from automl_core import Settings

pytest.importorskip("automl_starlette")
pytest.importorskip("automl_drift")
pytest.importorskip("automl_prometheus")
pytest.importorskip("automl_mlflow")
from test_serving_faults import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "rules.yml"
NAME, ROWS = "loans", 20
PATIENCE = 240  # seconds to wait for anything: it takes a few, minutes where others work
# What the production guide asks Prometheus.
GUIDE = (
    "rate(automl_requests_total[5m])",
    "rate(automl_errors_total[5m]) / rate(automl_requests_total[5m])",
    "histogram_quantile(0.95, rate(automl_request_latency_seconds_bucket[5m]))",
    "rate(automl_cache_hits_total[5m]) / (rate(automl_cache_hits_total[5m]) + rate(automl_cache_misses_total[5m]))",
    'automl_model_score{metric="accuracy"}',
)


def make(
    count: int, seed: int, *, shift: float = 0.0, turned: bool = False, colours: tuple[str, ...] = ("red", "blue")
) -> tuple[list[dict[str, Any]], list[str]]:
    random = np.random.default_rng(seed)
    x = random.normal(size=count) + shift
    right = np.where((x + 0.3 * random.normal(size=count) > 0) ^ turned, "yes", "no").tolist()
    return [{"x": a, "colour": str(c)} for a, c in zip(x, random.choice(colours, count), strict=True)], right


@contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=log.parent, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(found: Callable[[], Any], what: str) -> Any:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        # The server, or its ledger, may not be there yet.
        with suppress(httpx.TransportError, sqlite3.OperationalError):
            if result := found():
                return result
        time.sleep(0.2)
    pytest.fail(f"{what} did not happen in {PATIENCE} seconds")


class Production:
    """A champion in the registry, the server that follows it, and Prometheus that watches the server."""

    def __init__(self, folder: Path, server: int, prometheus: int, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.server = httpx.Client(base_url=f"http://127.0.0.1:{server}", timeout=60)
        self.prometheus = httpx.Client(base_url=f"http://127.0.0.1:{prometheus}", timeout=60)
        self.sent = 0
        self.truths: list[dict[str, Any]] = []

    def traffic(self, requests: int, **change: Any) -> float:
        """Send requests, and return the accuracy of their answers."""
        right = 0
        for _ in range(requests):
            rows, truths = make(ROWS, self.sent, **change)
            answer = self.server.post("/predict", json=rows, headers={"x-request-id": f"r{self.sent}"})
            right += sum(a == b for a, b in zip(answer.json()["predictions"], truths, strict=True))
            self.truths.append({"request_id": f"r{self.sent}", "truth": truths})
            self.sent += 1
        return right / (requests * ROWS)

    def label(self) -> None:
        """Send the truth of all requests since the last time at once, when the server has written all of them down."""
        ledger = sqlite3.connect(self.folder / "rows.sqlite")
        count = "SELECT count(*) FROM requests"
        until(lambda: ledger.execute(count).fetchone() == (self.sent,), "the record of all requests")
        ledger.close()
        answer = self.server.post("/labels", json=self.truths).raise_for_status().json()
        assert answer["joined"] == len(self.truths)
        self.truths = []

    def labelled_traffic(self, requests: int, **change: Any) -> Production:
        self.traffic(requests, **change)
        self.label()
        return self

    def ask(self, query: str) -> list[float]:
        answer = self.prometheus.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", answer
        return [float(item["value"][1]) for item in answer["data"]["result"]]

    def firing(self) -> set[str]:
        alerts = self.prometheus.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def score(self) -> float:
        return self.ask('automl_model_score{metric="accuracy"}')[0]

    def outcomes(self, counts: dict[str, int]) -> bool:
        """Wait until Prometheus counts the decisions of retraining so."""
        query = 'automl_retrain_decisions_total{{model="loans",outcome="{}"}}'.format
        return all(until(lambda o=o, n=n: self.ask(query(o)) == [n], f"{n} times {o}") for o, n in counts.items())  # type: ignore[misc]

    def version(self) -> str:
        return str(self.server.get("/models").json()[0]["version"])

    def automl(self, *words: str) -> str:
        command = [sys.executable, "-m", "automl", *words]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=True, timeout=PATIENCE
        ).stdout

    def decisions(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = json.loads(self.automl("retrain", NAME, "--history", "--json"))
        return [one for one in told if one["stage"] not in ("started", "refused")]

    def champion(self) -> str:
        versions = json.loads(self.automl("registry", "list", NAME, "--json"))
        return next(str(one["version"]) for one in versions if "champion" in one["aliases"])


def environment(folder: Path, tracker: str, alerts: str) -> dict[str, str]:
    ours = {
        "LEARNERS": "sklearn", "EXECUTOR": "serial", "SEARCH": "random", "TRACKERS": tracker,
        "DIRECTORY": str(folder / "kept"), "MONITORS": "drift,prometheus", "LISTENERS": "retrain",
        "SERVER_RELOAD_SECONDS": "0.5",
        "PLUGINS__DRIFT__INTERVAL": "0.5", "PLUGINS__DRIFT__REPEAT": "3",
        "PLUGINS__RETRAIN__NAME": NAME, "PLUGINS__RETRAIN__LEDGER": str(folder / "rows.sqlite"),
        "PLUGINS__RETRAIN__TIME_LIMIT": "6", "PLUGINS__RETRAIN__MINIMUM": "600", "PLUGINS__RETRAIN__LATEST": "60",
        "PLUGINS__RETRAIN__ALERTS": alerts, "PLUGINS__RETRAIN__LEVEL": "0.001",
    }  # fmt: skip
    mlflow = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"} if tracker == "mlflow" else {}
    return {**os.environ, **{f"AUTOML_{name}": value for name, value in ours.items()}, **mlflow}


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("champion")
    rows, truths = make(1500, 10_000)
    settings = Settings(learners=("sklearn",), executor="serial", search="random", directory=str(folder / "kept"))
    path = folder / "champion.automl"
    AutoML(time_limit=60, max_trials=1, metric="accuracy", n_jobs=1, settings=settings).fit(rows, truths).save(path)
    return path


@pytest.fixture
def production(champion: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Production]:
    if shutil.which("prometheus") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("prometheus is not installed; .ci/services.sh does it")
        pytest.skip("prometheus is not installed (package prometheus)")
    server, prometheus = free_port(), free_port()
    made = Production(tmp_path, server, prometheus, environment(tmp_path, *request.param))
    made.automl("registry", "add", NAME, str(champion), "--alias", "champion")
    serve = [sys.executable, "-m", "automl", "serve", f"models:/{NAME}@champion", "--name", NAME, "--workers", "2"]
    serve += ["--port", str(server), "--ledger", str(tmp_path / "rows.sqlite")]
    # The rules as they are, with less patience.
    (tmp_path / "rules.yml").write_text(re.sub(r"for: \d+m", "for: 1s", RULES.read_text()))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "automl", "static_configs": [{"targets": [f"127.0.0.1:{server}"]}]}],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))  # YAML in its JSON form
    watch = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    watch += [f"--web.listen-address=127.0.0.1:{prometheus}"]
    logs = [tmp_path / "serve.log", tmp_path / "prometheus.log"]
    with (
        running(serve, logs[0], made.environment),
        running(watch, logs[1], made.environment),
        made.server,
        made.prometheus,
    ):
        for client, path in ((made.server, "/health/ready"), (made.prometheus, "/-/ready")):
            until(lambda c=client, p=path: c.get(p).status_code == 200, path)  # type: ignore[misc]
        yield made
    assert "Traceback" not in logs[0].read_text(), logs[0].read_text()


@pytest.mark.parametrize("production", [("mlflow", "degradation")], indirect=True, ids=["mlflow"])
def test_changed_world_is_seen_and_repaired_without_a_person(production: Production) -> None:
    assert production.traffic(40) > 0.8
    production.label()
    before = production.version()
    until(lambda: all(production.ask(query) for query in GUIDE), "an answer to each query of the guide")
    assert production.score() > 0.8
    assert production.firing() == set()

    began = time.monotonic()
    assert production.traffic(60, shift=1.0, turned=True) < 0.4
    until(lambda: "AutomlDrift" in production.firing(), "the alert of drift")
    print(f"\ndrift: the alert fired {time.monotonic() - began:.1f} s after the change, 1 s of it patience")
    production.label()
    until(lambda: "AutomlDegraded" in production.firing(), "the alert of degradation")
    assert "degraded" in production.automl("drift", str(production.server.base_url))

    until(lambda: production.traffic(10, shift=1.0, turned=True) > 0.8, "a new champion's service")
    print(f"a new champion was in service {time.monotonic() - began:.1f} s after the change")
    assert production.version() != before
    until(lambda: production.labelled_traffic(5, shift=1.0, turned=True).score() > 0.8, "the score's recovery")
    told = [(one["stage"], one["previous"], one["version"]) for one in production.decisions()]
    assert told == [("promoted", "1", "2")]
    assert production.outcomes({"promoted": 1, "rejected": 0, "failed": 0})
    assert production.ask("automl_retrain_challenger_score > automl_retrain_champion_score")
    production.automl("retrain", NAME, "--rollback")
    until(lambda: production.version() == before, "the return of the first champion")


@pytest.mark.parametrize("production", [("journal", "drift,degradation")], indirect=True, ids=["journal"])
def test_challenger_that_is_no_better_is_refused_and_the_champion_stays(production: Production) -> None:
    before = production.version()
    assert production.traffic(30) > 0.8
    # Another colour, which the target does not depend on: there is nothing to learn.
    production.traffic(60, colours=("red", "green"))
    until(lambda: "AutomlDrift" in production.firing(), "the alert")
    production.label()
    (told,) = until(production.decisions, "a decision")
    assert told["stage"] == "rejected"
    assert production.outcomes({"promoted": 0, "rejected": 1, "failed": 0})
    assert production.ask('automl_retrain_in_a_row{outcome="rejected"}') == [1]
    assert production.champion() == "1"
    assert production.version() == before
    assert production.traffic(20, colours=("red", "green")) > 0.8
