"""What each part needs on this machine, and how to get it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec

__all__ = ["CHOICES", "USUAL", "missing"]

USUAL = ("redis", "mlflow", "server", "prometheus")
CHOICES = (*USUAL, "ray", "dask")

PROGRAMS: Mapping[str, str] = {"redis": "redis-server", "prometheus": "prometheus"}
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "redis": ("automl_redis",),
    "mlflow": ("automl_mlflow", "mlflow"),
    "server": ("automl_starlette",),
    "prometheus": ("automl_prometheus",),
    "ray": ("automl_ray", "ray"),
    "dask": ("automl_dask", "distributed"),
}
EXTRAS: Mapping[str, str] = {"server": "starlette"}


def missing(name: str) -> str:
    """Say what a part lacks here and how to install it; empty where it lacks nothing."""
    program = PROGRAMS.get(name)
    if program is not None and shutil.which(program) is None:
        return (
            f"{program} is not installed: apt-get install {program}, brew install {name}, or put it on the search path"
        )
    for package in PACKAGES[name]:
        if find_spec(package) is None:
            return f"{package} is not installed: pip install 'automl-sdk[{EXTRAS.get(name, name)}]'"
    return ""
