"""What each part needs on this machine, and how to get it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib.util import find_spec

__all__ = ["CHOICES", "USUAL", "missing", "program_of"]

USUAL = ("redis", "mlflow", "server", "alertmanager", "prometheus")
CHOICES = (*USUAL, "ray", "dask")

# The package of Debian first, which gives its program the same name.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "redis": ("redis-server",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "prometheus": ("prometheus",),
}
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
    if name in PROGRAMS and not program_of(name):
        program, *_ = PROGRAMS[name]
        return (
            f"{program} is not installed: apt-get install {program}, brew install {name}, or put it on the search path"
        )
    for package in PACKAGES.get(name, ()):
        if find_spec(package) is None:
            return f"{package} is not installed: pip install 'automl-sdk[{EXTRAS.get(name, name)}]'"
    return ""


def program_of(name: str) -> str:
    """Return the path of a part's program; empty where it is not there (any more): what runs of it can still be ended."""
    return next(filter(None, map(shutil.which, PROGRAMS[name])), "")
