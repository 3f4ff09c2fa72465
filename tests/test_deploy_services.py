"""The services of compose that need no image of ours: their own commands and health checks, as processes on loopback.

The API is started by tests/test_deploy_docker.py, MLflow, PostgreSQL and the bucket by tests/test_deploy_mlflow.py, the
balancer by tests/test_deploy_balancer.py. Nothing here runs Grafana or MinIO.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment import DEPLOY, missing, need

from automl.doctor.route import check_route
from automl.stack.needs import program_of

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
Start = Callable[..., None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def local(words: list[str], places: Mapping[str, str]) -> list[str]:
    """Return a command as a container would get it, with places of ours for those of its container."""
    changed = []
    for word in words:
        for theirs, ours in places.items():
            word = word.replace(theirs, ours)
        changed.append(word.replace("$$", "$"))
    return changed


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a service, and wait until its own health check is content."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, places: Mapping[str, str], *more: str) -> None:
        service, log = SERVICES[name], tmp_path / f"{name}.log"
        command = local([*service.get("entrypoint", ()), *service["command"]], places)
        if command[:2] == ["sh", "-c"]:
            command[2] = " ".join([command[2], *more])
        else:
            command += more
        with log.open("wb") as said:
            processes.append(subprocess.Popen(command, stdout=said, stderr=said, cwd=tmp_path))
        kind, *check = service["healthcheck"]["test"] if "healthcheck" in service else ("CMD", "true")
        check = local(check, places)
        until = time.monotonic() + 90
        while subprocess.run(["sh", "-c", check[0]] if kind == "CMD-SHELL" else check, capture_output=True).returncode:
            assert processes[-1].poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)

    yield start
    for process in reversed(processes):
        process.terminate()
    for process in processes:
        process.wait(60)


def test_redis_starts_as_a_cache_with_its_password(start: Start, tmp_path: Path) -> None:
    need("redis-server", "redis-server")
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True)
    port = str(free_port())
    places = {"/etc/redis/": f"{DEPLOY}/redis/", "/run/secrets/": f"{tmp_path}/", "redis-cli": f"redis-cli -p {port}"}
    start("redis", places, "--port", port, "--bind", "127.0.0.1")
    told = {**os.environ, "REDISCLI_AUTH": (tmp_path / "REDIS_PASSWORD").read_text().strip()}

    def ask(*words: str) -> list[str]:
        command = ["redis-cli", "-p", port, "config", "get", *words]
        return subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout.split()

    assert ask("maxmemory") == ["maxmemory", str(2 << 30)]
    assert ask("maxmemory-policy") == ["maxmemory-policy", "allkeys-lru"]
    refused = subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True, text=True)
    assert "NOAUTH" in refused.stdout


def test_prometheus_starts_with_its_rules(start: Start, tmp_path: Path) -> None:
    need("prometheus", "prometheus")
    need("wget", "wget")
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True)
    port = str(free_port())
    told = (DEPLOY / "prometheus/prometheus.yml").read_text().replace("/run/secrets/", f"{tmp_path}/")
    (tmp_path / "prometheus.yml").write_text(told)
    (tmp_path / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
    places = {"/etc/prometheus/": f"{tmp_path}/", "=/prometheus": f"={tmp_path}/data", ":9090": f":{port}"}
    command = SERVICES["prometheus"]["command"]
    assert command[0].startswith("--config.file=")  # the image's entry point is the program
    SERVICES["prometheus"] |= {"entrypoint": ["prometheus"]}
    start("prometheus", places, f"--web.listen-address=127.0.0.1:{port}")
    done = subprocess.run(
        ["wget", "-q", "-O", "-", f"http://127.0.0.1:{port}/api/v1/rules"], capture_output=True, text=True
    )
    assert '"AutomlErrorsBurn1h"' in done.stdout


def test_alertmanager_starts_with_its_routes(start: Start, tmp_path: Path) -> None:
    program = program_of("alertmanager")
    if not program:
        missing("prometheus-alertmanager", "prometheus-alertmanager")
    need("wget", "wget")
    port = str(free_port())
    # Before version 0.26 it knows no `url_file`.
    told = re.sub("url_file: .*", "url: http://127.0.0.1:9/", (DEPLOY / "alertmanager/alertmanager.yml").read_text())
    (tmp_path / "alertmanager.yml").write_text(told)
    places = {"/etc/alertmanager/": f"{tmp_path}/", "=/alertmanager": f"={tmp_path}/data", ":9093": f":{port}"}
    SERVICES["alertmanager"] |= {"entrypoint": [program]}
    start("alertmanager", places, f"--web.listen-address=127.0.0.1:{port}")
    found = check_route([f"http://127.0.0.1:{port}/api/v2/alerts"], "")
    assert (found.state, "tells 2 receivers" in found.said) == ("ok", True)


@pytest.mark.slow
def test_dask_gives_the_guide_s_workers(start: Start, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    need("wget", "wget")
    port, page = str(free_port()), str(free_port())
    places = {"tcp://dask-scheduler:8786": f"tcp://127.0.0.1:{port}", ":8787": f":{page}", "/tmp": str(tmp_path)}
    here = ("--host", "127.0.0.1", "--dashboard-address")
    start("dask-scheduler", places, *here, f"127.0.0.1:{page}", "--port", port)
    start("dask-worker", places, *here, "127.0.0.1:0")
    with distributed.Client(f"tcp://127.0.0.1:{port}", set_as_default=False) as client:
        client.wait_for_workers(4, timeout=60)
        assert list(client.nthreads().values()) == [2] * 4
        assert client.submit(pow, 2, 10).result(30) == 1024


@pytest.mark.parametrize("name", ["ray-head", "ray-worker"])
def test_options_of_ray_are_known_to_it(name: str) -> None:
    pytest.importorskip("ray")
    import click
    from ray.scripts.scripts import cli

    command, *words = SERVICES[name]["command"]
    context = cli.commands[command].make_context(command, list(words), parent=click.Context(cli))
    assert context.params["block"] is True
    if "healthcheck" in SERVICES[name]:
        _, program, command, *words = SERVICES[name]["healthcheck"]["test"]
        assert program == "ray"
        cli.commands[command].make_context(command, list(words), parent=click.Context(cli))
