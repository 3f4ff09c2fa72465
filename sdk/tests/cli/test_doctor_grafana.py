"""`automl doctor --grafana`: on a server that answers as the HTTP API reference of Grafana says, as no Grafana runs here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

LIGHT = {"AUTOML_LEARNERS": "sklearn.linear", "AUTOML_SEARCH": "random", "AUTOML_EXECUTOR": "serial"}
TOKEN = "glsa_of_a_viewer"
DASHBOARD = {
    "uid": "automl",
    "title": "AutoML",
    "panels": [{"targets": [{"expr": "up"}]}, {"targets": [{"expr": "x"}]}],
}


class Grafana(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.health = (200, {"database": "ok", "version": "11.6.0", "commit": "0"})
        self.loaded: dict[str, Any] = {"automl": DASHBOARD}


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        start = "/api/dashboards/uid/"
        if self.path == "/api/health":
            self.answer(*self.server.health)
        elif not self.path.startswith(start):
            self.answer(404, {"message": "Not found"})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"message": "Unauthorized", "messageId": "auth.unauthorized", "statusCode": 401})
        elif (uid := self.path.removeprefix(start)) in self.server.loaded:
            self.answer(200, {"dashboard": self.server.loaded[uid], "meta": {"provisioned": True}})
        else:
            self.answer(404, {"message": "Dashboard not found", "status": "not-found"})

    def answer(self, status: int, told: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of tests clean."""


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def diagnose(run: Any, folder: Path, *words: str, token: str = TOKEN) -> dict[str, str]:
    """Return the states of the lines about Grafana, and what was said of the dashboards."""
    (folder / "dashboard.json").write_text(json.dumps(DASHBOARD))
    (folder / "token").write_text(f"{token}\n")
    words = ("--for", "serving", "--json", "--dashboard", "dashboard.json", "--grafana-token-file", "token", *words)
    result = run("doctor", *words, **LIGHT)
    assert result.exit_code in (0, 1), result.output
    assert TOKEN not in result.output
    found = {line["check"]: line for line in json.loads(result.stdout)["findings"]}
    health, loaded = found["Grafana"], found["dashboards in Grafana"]
    return {"health": health["state"], "loaded": loaded["state"], "said": loaded["said"]}


def test_dashboards_that_are_loaded_are_well(run, tmp_path: Path, grafana: Grafana) -> None:
    found = diagnose(run, tmp_path, "--grafana", grafana.url)
    assert (found["health"], found["loaded"]) == ("ok", "ok")
    assert "automl is loaded, with all 2 queries" in found["said"]


def test_dashboard_that_is_not_there_fails(run, tmp_path: Path, grafana: Grafana) -> None:
    grafana.loaded.clear()
    found = diagnose(run, tmp_path, "--grafana", grafana.url)
    assert (found["health"], found["loaded"]) == ("ok", "failed")
    assert "no dashboard automl: status 404" in found["said"]


def test_older_dashboard_is_a_doubt(run, tmp_path: Path, grafana: Grafana) -> None:
    grafana.loaded["automl"] = {**DASHBOARD, "panels": DASHBOARD["panels"][:1]}
    found = diagnose(run, tmp_path, "--grafana", grafana.url)
    assert found["loaded"] == "warning"
    assert "lacks 1 of 2 queries, such as x" in found["said"]


def test_without_a_right_to_look_nothing_is_said_to_be_well(run, tmp_path: Path, grafana: Grafana) -> None:
    found = diagnose(run, tmp_path, "--grafana", grafana.url, token="another")
    assert (found["health"], found["loaded"]) == ("ok", "failed")
    assert "status 401" in found["said"]


def test_grafana_whose_database_is_gone_fails(run, tmp_path: Path, grafana: Grafana) -> None:
    grafana.health = (503, {"database": "failing"})
    assert diagnose(run, tmp_path, "--grafana", grafana.url)["health"] == "failed"


def test_grafana_that_is_down_fails_and_none_is_not_configured(run, tmp_path: Path, grafana: Grafana) -> None:
    grafana.server_close()
    found = diagnose(run, tmp_path, "--grafana", grafana.url)
    assert (found["health"], found["loaded"]) == ("failed", "failed")
    found = diagnose(run, tmp_path)
    assert (found["health"], found["loaded"]) == ("not configured", "not configured")
