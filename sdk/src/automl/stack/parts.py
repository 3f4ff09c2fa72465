"""The parts: how each is started, and how it is asked whether it does its work."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path

from automl.doctor.web import ask
from automl.stack.layout import Layout
from automl.stack.needs import program_of
from automl.stack.ports import HOST
from automl.stack.secrets import read_secret
from automl_core.errors import ComponentUnavailable

__all__ = ["Part", "links_of", "parts_of"]

HERE = Path(__file__).parent
PYTHON = (sys.executable, "-m")
SCRAPE = "2s"
# Without an address its web server listens on all interfaces, with --no-dashboard too.
DASK = ("--dashboard-address", f"{HOST}:0")


@dataclass(frozen=True, slots=True)
class Part:
    """A program of the stack.

    Attributes:
        ready: whether it answers as it should; false while it starts.
        wave: parts of one wave start at once, when those of the wave before are ready.
        environment: beside that of the command. files: written before it starts, for the owner alone.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], bool] = field(compare=False)
    wave: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[Path, str] = field(default_factory=dict)

    @property
    def made_of(self) -> str:
        files = {str(path): text for path, text in self.files.items()}
        told = json.dumps([self.command, dict(self.environment), files], sort_keys=True)
        return blake2b(told.encode(), digest_size=16).hexdigest()


def parts_of(layout: Layout) -> list[Part]:
    """Return the parts that the state names, in the order of their start."""
    makers: Mapping[str, Callable[[Layout], Part]] = {
        "redis": _redis, "mlflow": _mlflow, "ray": _ray, "dask": _dask, "dask-workers": _dask_workers,
        "server": _server, "alertmanager": _alertmanager, "prometheus": _prometheus,
    }  # fmt: skip
    return [make(layout) for name, make in makers.items() if layout.has(name)]


def _redis(layout: Layout) -> Part:
    port, password = layout.state.ports["redis"], read_secret(layout.secrets, "REDIS_PASSWORD")
    lines = [f"include {HERE / 'redis.conf'}", f"port {port}", f"bind {HOST}", "maxmemory 256mb"]
    lines += [f"requirepass {password}", f"dir {layout.folder}"]
    config = layout.folder / "redis.conf"
    return Part(
        "redis", (program_of("redis"), str(config)), partial(_pings, port, password),
        files={config: "\n".join(lines) + "\n"},
    )  # fmt: skip


def _mlflow(layout: Layout) -> Part:
    command: tuple[str, ...] = (
        *PYTHON,
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(layout.state.ports["mlflow"]),
    )
    command += ("--workers", "1", "--backend-store-uri", f"sqlite:///{layout.folder / 'mlflow.db'}")
    command += ("--serve-artifacts", "--artifacts-destination", str(layout.folder / "artifacts"))
    # Jobs are seven more processes, of features that nobody uses here.
    ours = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return Part("mlflow", command, partial(_answers, f"{layout.address('mlflow')}/health"), environment=ours)


def _ray(layout: Layout) -> Part:
    ports = layout.state.ports
    command: tuple[str, ...] = (*PYTHON, "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address", HOST)
    command += ("--port", str(ports["ray"]), "--ray-client-server-port", str(ports["ray-client"]))
    command += ("--include-dashboard", "false", "--disable-usage-stats")
    # Without it Ray's own parts listen on all interfaces.
    ours = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    ready = partial(_logged, layout.log("ray"), "Ray runtime started", ports["ray-client"])
    return Part("ray", command, ready, environment=ours)


def _dask(layout: Layout) -> Part:
    port = layout.state.ports["dask"]
    command = (*PYTHON, "dask", "scheduler", "--host", HOST, "--port", str(port), "--no-show", *DASK)
    return Part("dask", command, partial(_listens, port))


def _dask_workers(layout: Layout) -> Part:
    command: tuple[str, ...] = (*PYTHON, "dask", "worker", layout.address("dask"), "--host", HOST, "--nworkers", "auto")
    command += (*DASK, "--local-directory", str(layout.folder / "dask"))
    ready = partial(_logged, layout.log("dask-workers"), "Registered to", layout.state.ports["dask"])
    return Part("dask-workers", command, ready, 1)


def _server(layout: Layout) -> Part:
    ready = partial(_answers, f"{layout.address('server')}/health/ready")
    return Part("server", (*PYTHON, "automl", "serve"), ready, 1, layout.service())


def _alertmanager(layout: Layout) -> Part:
    route = {"receiver": "on-call", "group_by": ["alertname", "model"], "group_wait": SCRAPE, "repeat_interval": "4h"}
    receiver = {"name": "on-call", "webhook_configs": [{"url": layout.state.on_call}]}
    config = layout.folder / "alertmanager.yml"
    command: tuple[str, ...] = (
        program_of("alertmanager"),
        f"--config.file={config}",
        f"--storage.path={layout.folder / 'alertmanager'}",
    )
    # Without peers; else its port for them is on all interfaces.
    command += (f"--web.listen-address={HOST}:{layout.state.ports['alertmanager']}", "--cluster.listen-address=")
    ready = partial(_answers, f"{layout.address('alertmanager')}/-/ready")
    text = json.dumps({"route": route, "receivers": [receiver]}, indent=2)
    return Part("alertmanager", command, ready, files={config: text})


def _prometheus(layout: Layout) -> Part:
    targets = [_target(layout)] if layout.has("server") else []
    managers = [layout.address("alertmanager").removeprefix("http://")] if layout.has("alertmanager") else []
    told = {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": [str(HERE / "rules.yml")],
        "scrape_configs": targets,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": managers}]}]},
    }
    config = layout.folder / "prometheus.yml"
    command: tuple[str, ...] = (
        program_of("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={layout.folder / 'tsdb'}",
    )
    command += (f"--web.listen-address={HOST}:{layout.state.ports['prometheus']}",)
    ready = partial(_answers, f"{layout.address('prometheus')}/-/ready")
    return Part("prometheus", command, ready, 1, files={config: json.dumps(told, indent=2)})  # JSON is YAML


def _target(layout: Layout) -> dict[str, object]:
    return {
        "job_name": "automl",
        "static_configs": [{"targets": [layout.address("server").removeprefix("http://")]}],
        "authorization": {"credentials_file": str(layout.secrets / "SCRAPE_KEY")},
    }


def links_of(layout: Layout) -> dict[str, Callable[[], bool]]:
    """Return what Prometheus is to find in the seconds after all parts are ready."""
    links: dict[str, tuple[str, Callable[[Layout], bool]]] = {
        "first scrape": ("server", _scraped),
        "alert route": ("alertmanager", _routed),
    }
    if not layout.has("prometheus"):
        return {}
    return {name: partial(done, layout) for name, (part, done) in links.items() if layout.has(part)}


def _scraped(layout: Layout) -> bool:
    targets = _of_prometheus(layout, "targets?state=active", "activeTargets")
    return bool(targets) and all(target["health"] == "up" for target in targets)


def _routed(layout: Layout) -> bool:
    return bool(_of_prometheus(layout, "alertmanagers", "activeAlertmanagers"))


def _of_prometheus(layout: Layout, path: str, key: str) -> list[dict[str, str]]:
    with suppress(ComponentUnavailable):
        found: list[dict[str, str]] = ask(f"{layout.address('prometheus')}/api/v1/{path}").json()["data"][key]
        return found
    return []


def _answers(url: str) -> bool:
    with suppress(ComponentUnavailable):
        return ask(url).status == 200
    return False


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((HOST, port), 1).close()
        return True
    return False


def _logged(log: Path, words: str, port: int) -> bool:
    return log.is_file() and words in log.read_text(encoding="utf-8", errors="replace") and _listens(port)


def _pings(port: int, password: str) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), 1) as connection:
        connection.sendall(b"AUTH %b\r\nPING\r\n" % password.encode())
        with connection.makefile("rb") as answers:
            return _lines(answers) == [b"+OK\r\n", b"+PONG\r\n"]
    return False


def _lines(answers: Iterator[bytes]) -> list[bytes]:
    return [next(answers, b""), next(answers, b"")]
