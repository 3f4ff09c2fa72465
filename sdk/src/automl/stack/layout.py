"""Where everything of a stack is: files, addresses, and the settings that programs need to use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from automl.stack.ports import HOST
from automl.stack.state import State

__all__ = ["Layout", "ports_of"]

DASHBOARD = Path(__file__).with_name("dashboard.json")
MONITORS = ("prometheus", "drift")


def ports_of(name: str) -> tuple[str, ...]:
    """Return the names of the ports that a part takes."""
    return {"ray": ("ray", "ray-client"), "dask-workers": ()}.get(name, (name,))


@dataclass(frozen=True, slots=True)
class Layout:
    """A state, laid out in a folder; `folder` is absolute."""

    folder: Path
    state: State

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def mark(self, name: str) -> str:
        return f"{self.folder}:{name}"

    def has(self, name: str) -> bool:
        return name in self.state.names

    def address(self, name: str) -> str:
        """Return where a part is reached, as its clients write it."""
        # By its client: a driver of Ray takes its own address for loopback, where this Ray does not listen.
        scheme = {"redis": "", "ray": "ray://", "dask": "tcp://", "dask-workers": "tcp://"}.get(name, "http://")
        port = {"ray": "ray-client", "dask-workers": "dask"}.get(name, name)
        return f"{scheme}{HOST}:{self.state.ports[port]}"

    def service(self) -> dict[str, str]:
        """Return what the server is told."""
        told = {
            "AUTOML_DIRECTORY": self.state.directory,
            "AUTOML_SECRETS_DIR": str(self.secrets),
            "AUTOML_MONITORS": ",".join(name for name in MONITORS if find_spec(f"automl_{name}")),
        }
        if self.has("redis"):
            told |= {"REDIS_HOST": HOST, "REDIS_PORT": str(self.state.ports["redis"])}
        if self.has("mlflow"):
            told |= {
                "AUTOML_TRACKERS": ",".join(("mlflow", *self.state.trackers)),
                "MLFLOW_TRACKING_URI": self.address("mlflow"),
            }
        if self.has("server"):
            told |= {
                "AUTOML_MODEL_URI": self.state.model,
                "AUTOML_HOST": HOST,
                "AUTOML_PORT": str(self.state.ports["server"]),
                "AUTOML_WORKERS": str(self.state.workers),
                "AUTOML_PLUGINS__STARLETTE__API_KEYS_FILE": str(self.secrets / "API_KEYS"),
            }
        return told

    def environment(self) -> Mapping[str, str]:
        """Return what commands are told that fit with this stack, use it and look after it."""
        told = {**self.service(), **dict(self._clusters())}
        if self.has("server"):
            told["AUTOML_DOCTOR_URL"] = self.address("server")
        if self.has("prometheus"):
            told["AUTOML_DOCTOR_PROMETHEUS"] = self.address("prometheus")
            told["AUTOML_DOCTOR_DASHBOARDS"] = str(DASHBOARD)
        return told

    def _clusters(self) -> Iterator[tuple[str, str]]:
        """Let trials run on the cluster; of two, Ray searches and Dask executes."""
        if self.has("dask"):
            yield "AUTOML_EXECUTOR", "dask"
            yield "AUTOML_PLUGINS__DASK__ADDRESS", self.address("dask")
            yield "AUTOML_PLUGINS__DASK__TIMEOUT", "10"  # seconds, of 60: this one is up, or will not come
        if self.has("ray") and self.has("dask"):
            yield "AUTOML_SEARCH", "raytune"
            yield "AUTOML_PLUGINS__RAYTUNE__RAY_ADDRESS", self.address("ray")
        elif self.has("ray"):
            yield "AUTOML_EXECUTOR", "ray"
            yield "AUTOML_PLUGINS__RAY__ADDRESS", self.address("ray")
