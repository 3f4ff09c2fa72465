"""What tests of deploy/ share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from packages import ROOT

DEPLOY = ROOT / "deploy"
OVERLAYS = ("dev", "prod")


def need(program: str, package: str) -> None:
    """Skip a test whose program is missing; in CI it fails."""
    if shutil.which(program) is None:
        missing(program, package)


def missing(what: str, package: str) -> None:
    """Skip a test for what is missing; in CI it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed (package {package})")
    pytest.skip(f"{what} is not installed (package {package})")


def kustomize(overlay: str) -> list[dict[str, Any]]:
    """Return the objects of an overlay, as `kubectl apply -k` sends them."""
    need("kubectl", "kubectl")
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (kind/name/part, pod spec) of everything that makes pods."""
    for item in objects:
        name, spec = f"{item['kind']}/{item['metadata']['name']}", item.get("spec", {})
        if item["kind"] in ("Deployment", "StatefulSet"):
            yield name, spec["template"]["spec"]
        elif item["kind"] == "CronJob":
            yield name, spec["jobTemplate"]["spec"]["template"]["spec"]
        elif item["kind"] == "RayCluster":
            yield f"{name}/head", spec["headGroupSpec"]["template"]["spec"]
            for group in spec["workerGroupSpecs"]:
                yield f"{name}/{group['groupName']}", group["template"]["spec"]
        elif item["kind"] == "DaskCluster":
            yield f"{name}/scheduler", spec["scheduler"]["spec"]
            yield f"{name}/worker", spec["worker"]["spec"]
