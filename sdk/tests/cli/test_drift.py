from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from click.testing import Result

pytest.importorskip("automl_drift")

Run = Callable[..., Result]


def write(path: Path, shift: float, seed: int, rows: int = 1000) -> None:
    random = np.random.default_rng(seed)
    lines = zip(random.normal(shift, 1, rows), random.choice(["red", "blue"], rows), strict=True)
    path.write_text("size,colour\n" + "".join(f"{size:.6f},{colour}\n" for size, colour in lines))


@pytest.fixture
def tables(tmp_path: Path) -> None:
    write(tmp_path / "old.csv", 0.0, 0)
    write(tmp_path / "same.csv", 0.0, 1)
    write(tmp_path / "new.csv", 0.7, 2)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(("current", "status", "code"), [("same.csv", "ok", 0), ("new.csv", "drift", 3)])
def test_verdict_and_exit_code(run: Run, current: str, status: str, code: int) -> None:
    result = run("drift", "old.csv", current, "--exit-code")
    assert result.output.startswith(f"{status}: 1000 rows")
    assert result.exit_code == code


@pytest.mark.usefixtures("tables")
def test_json_and_page(run: Run, tmp_path: Path) -> None:
    result = run("drift", "old.csv", "new.csv", "--json", "--html", "drift.html")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["drifted"] == ["size"]
    assert "Drift in 1 of 2 features: size." in (tmp_path / "drift.html").read_text()


def test_a_missing_table_is_named(run: Run) -> None:
    result = run("drift", "nothing.csv", "new.csv")
    assert result.exit_code == 1
    assert "nothing.csv" in result.output


SAID = {
    "model": "loans", "version": "3", "status": "drift", "rows": 900,
    "features": [{"name": "size", "status": "drift", "effect": 0.25, "impact": 0.2}],
    "performance": {"metric": "accuracy", "baseline": 0.9, "score": None, "rows": 0},
    "estimate": {"accuracy": 0.8123, "interval": [0.79, 0.83], "doubt": "labels say otherwise"},
}  # fmt: skip


@pytest.fixture
def ask_server() -> Iterator[Callable[[dict[str, Any]], str]]:
    """Return a function that lets a server answer /stats with this, and returns its URL."""
    stats: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(stats if self.path == "/stats" else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()

    def answer(said: dict[str, Any]) -> str:
        stats.update(said)
        return f"http://127.0.0.1:{server.server_port}"

    yield answer
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_server_watches_is_shown(run: Run, ask_server: Callable[[dict[str, Any]], str]) -> None:
    result = run("drift", ask_server({"drift": {"drift": [SAID]}}), "--exit-code")
    assert result.exit_code == 3
    for line in (
        "loans 3: drift, 900 rows",
        "accuracy: no labels, held out 0.9000",
        "accuracy without labels: 0.8123, 0.7900 to 0.8300; not to be trusted: labels say otherwise",
    ):
        assert line in result.output
    assert "size" in result.output


def test_estimate_of_the_error_is_shown(run: Run, ask_server: Callable[[dict[str, Any]], str]) -> None:
    said = {**SAID, "estimate": {"rmse": 21.5, "interval": [20.0, 23.0], "doubt": ""}}
    result = run("drift", ask_server({"drift": {"drift": [said]}}))
    assert "rmse without labels: 21.5000, 20.0000 to 23.0000\n" in result.output


def test_server_that_watches_no_drift_says_so(run: Run, ask_server: Callable[[dict[str, Any]], str]) -> None:
    result = run("drift", ask_server({"drift": {}}))
    assert result.exit_code != 0
    assert "watches no drift" in result.output
