"""The load test that users run: what it counts is what the server saw, and what failed is told."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from packages import ROOT
from served import fit_buyers, serving

from automl.serving.api import create_app

pytest.importorskip("automl_starlette")


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with serving(create_app(fit_buyers(), api_keys=("k1",))) as client:
        client.headers["x-api-key"] = "k1"
        yield client


def run(client: httpx.Client, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples/load_test.py"), "--url", str(client.base_url), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def counted(client: httpx.Client, name: str = "automl_server_requests_total") -> int:
    lines = client.get("/metrics").text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith(f"{name} "))


def test_load_is_what_the_server_counts(server, tmp_path) -> None:
    before = counted(server)
    done = run(server, "2", "--key", "k1", "--connections", "1,3", "--html", str(tmp_path / "load.html"))
    assert done.returncode == 0, done.stderr + done.stdout
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()[:1].isdigit()]
    assert [(line[0], line[-1]) for line in lines] == [("1", "0"), ("3", "0")]
    assert sum(int(line[1]) for line in lines) == counted(server) - before > 0
    page = (tmp_path / "load.html").read_text()
    assert page.count("<h2>") == 2
    assert "https://" not in page


def test_rows_differ_and_the_rate_is_kept(server) -> None:
    before, hits = counted(server, "automl_server_rows_total"), counted(server, "automl_server_local_hits_total")
    done = run(server, "2", "--key", "k1", "--connections", "2", "--rate", "10", "--rows", "5")
    assert done.returncode == 0, done.stderr + done.stdout
    assert 0 < counted(server, "automl_server_rows_total") - before <= 5 * 22  # the last one by a hair
    assert counted(server, "automl_server_local_hits_total") == hits


def test_missing_key_is_told_at_once(server) -> None:
    done = run(server, "60")
    assert done.returncode == 1
    assert "401" in done.stderr


def test_failed_requests_are_told(server) -> None:
    with serving(create_app(fit_buyers(), max_body=1024)) as small:
        done = run(small, "1", "--connections", "1", "--rows", "100")
    assert done.returncode == 1
    assert "413" in done.stdout
