"""The line "alert route" of `automl doctor`: a real Prometheus, and a real Alertmanager with and without a receiver."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deployment import missing, need

from automl.doctor.asked import Asked
from automl.doctor.prometheus import check_prometheus
from automl.doctor.route import check_route
from automl.doctor.web import ask
from automl.stack.needs import program_of
from automl_core.diagnosis import Finding
from automl_core.errors import ComponentUnavailable
from automl_core.settings import load_settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], url: str) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait(lambda: process.poll() is not None or ready(url))
            assert process.poll() is None
            yield url
        finally:
            process.terminate()


def wait(done: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def ready(url: str) -> bool:
    try:
        return ask(f"{url}/-/ready").status == 200
    except ComponentUnavailable:
        return False


@contextmanager
def alertmanager(folder: Path, receiver: dict[str, object]) -> Iterator[str]:
    """Run one whose only route leads to this receiver; yield its address."""
    if not program_of("alertmanager"):
        missing("prometheus-alertmanager", "prometheus-alertmanager")
    folder.mkdir()
    told = {"route": {"receiver": "people", "group_wait": "0s"}, "receivers": [{"name": "people", **receiver}]}
    (folder / "config.json").write_text(json.dumps(told))  # JSON is YAML
    url = f"http://127.0.0.1:{free_port()}"
    command = [program_of("alertmanager"), f"--config.file={folder / 'config.json'}", f"--storage.path={folder}"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", "--cluster.listen-address="]
    with running(command, url):
        yield url


@contextmanager
def prometheus(folder: Path, manager: str) -> Iterator[str]:
    need("prometheus", "prometheus")
    told = {"alerting": {"alertmanagers": [{"static_configs": [{"targets": [manager.removeprefix("http://")]}]}]}}
    (folder / "prometheus.json").write_text(json.dumps(told))
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.json'}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with running([*command, f"--web.listen-address={url.removeprefix('http://')}"], url):
        # It takes on what its configuration names seconds after it is ready.
        wait(lambda: ask(f"{url}/api/v1/alertmanagers").json()["data"]["activeAlertmanagers"])
        yield url


def nowhere() -> dict[str, object]:
    """Return a receiver that cannot be reached."""
    return {"webhook_configs": [{"url": f"http://127.0.0.1:{free_port()}/", "send_resolved": False}]}


def looked(address: str, manager: str = "") -> Finding:
    asked = Asked(load_settings(), prometheus=address, alertmanager=manager)
    (found,) = (finding for finding in check_prometheus(asked) if finding.check == "alert route")
    return found


def test_route_is_well_where_its_alertmanager_answers(tmp_path: Path) -> None:
    with alertmanager(tmp_path / "one", nowhere()) as manager, prometheus(tmp_path, manager) as address:
        found = looked(address)
        assert (found.state, f"alerts go to {manager}, which tells 1 receiver;" in found.said) == ("ok", True)
        down = looked(address, f"http://127.0.0.1:{free_port()}")  # as seen from here
        assert (down.state, "does not answer" in down.said) == ("failed", True)
        other = looked(address, address)
        assert (other.state, "is no Alertmanager" in other.said) == ("failed", True)


def test_alertmanager_that_tells_nobody_is_a_doubt(tmp_path: Path) -> None:
    with alertmanager(tmp_path / "one", {}) as manager:
        found = check_route([f"{manager}/api/v2/alerts"], "")
    assert (found.state, "tells nobody" in found.said) == ("warning", True)


def test_messages_that_failed_are_a_doubt(tmp_path: Path) -> None:
    with alertmanager(tmp_path / "one", nowhere()) as manager:
        subprocess.run(["amtool", "alert", "add", "Test", f"--alertmanager.url={manager}"], check=True)
        wait(lambda: check_route([f"{manager}/api/v2/alerts"], "").state != "ok")
        found = check_route([f"{manager}/api/v2/alerts"], "")
    assert (found.state, "attempts failed" in found.said) == ("warning", True)


def test_one_of_two_that_is_down_is_a_doubt(tmp_path: Path) -> None:
    with alertmanager(tmp_path / "one", nowhere()) as manager:
        found = check_route([f"{manager}/api/v2/alerts", f"http://127.0.0.1:{free_port()}/api/v2/alerts"], "")
    assert (found.state, "does not answer" in found.said) == ("warning", True)


def test_without_an_alertmanager_alerts_go_nowhere() -> None:
    assert check_route([], "").state == "warning"
