"""`automl doctor --namespace`: on what Kubernetes would say of the overlay prod.

No API server runs here: `kubectl get` is answered from the manifests that `kubectl kustomize` gives, with a status added.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from deployment import kustomize, need

from automl.cli.app import cli

KINDS = ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob")
CHECKS = ("load balancer", "autoscaling", "disruptions", "retraining")
STATUS = {
    "automl-api": {"readyReplicas": 10, "disruptionsAllowed": 1},
    "automl-api-hpa": {"currentReplicas": 10, "conditions": [{"type": "ScalingActive", "status": "True"}]},
    "automl-retrain": {"lastSuccessfulTime": "2026-01-01T03:00:00Z"},
}


@pytest.fixture(scope="module")
def items() -> list[dict[str, Any]]:
    found = [item for item in kustomize("prod") if item["kind"] in KINDS]
    for item in found:
        item["status"] = STATUS.get(item["metadata"]["name"], {})
    return found


def diagnose(items: list[dict[str, Any]], folder: Path) -> dict[str, dict[str, str]]:
    """Put a kubectl before the real one that knows these objects, by the label that the doctor selects."""
    labelled = [item for item in items if item["metadata"]["labels"].get("app.kubernetes.io/part-of") == "automl"]
    (folder / "answer.json").write_text(json.dumps({"items": labelled}))
    program = folder / "kubectl"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in "get "*"--namespace automl "*) cat {folder}/answer.json ;; *) exit 1 ;; esac\n'
    )
    program.chmod(0o755)
    return run({"PATH": f"{folder}:{os.environ['PATH']}"})


def run(environment: dict[str, str]) -> dict[str, dict[str, str]]:
    variables = {"AUTOML_LEARNERS": "", "AUTOML_EXECUTOR": "serial", "AUTOML_SEARCH": "random", **environment}
    result = CliRunner().invoke(cli, ["doctor", "--json", "--for", "training", "--namespace", "automl"], env=variables)
    return {item["check"]: item for item in json.loads(result.stdout)["findings"]}


def changed(items: list[dict[str, Any]], kind: str, name: str, **parts: Any) -> list[dict[str, Any]]:
    copy: list[dict[str, Any]] = json.loads(json.dumps(items))
    (found,) = (item for item in copy if item["kind"] == kind and item["metadata"]["name"] == name)
    for part, value in parts.items():
        found[part] = {**found[part], **value}
    return copy


def test_cluster_of_the_overlay_is_well(items, tmp_path: Path) -> None:
    found = diagnose(items, tmp_path)
    assert {check: found[check]["state"] for check in CHECKS} == dict.fromkeys(CHECKS, "ok")
    assert "10 to 100 pods" in found["autoscaling"]["said"]


@pytest.mark.parametrize(
    ("kind", "name", "parts", "check", "state"),
    [
        ("Deployment", "automl-api", {"status": {"readyReplicas": 0}}, "load balancer", "failed"),
        ("Deployment", "automl-api", {"status": {"readyReplicas": 9}}, "load balancer", "warning"),
        (
            "HorizontalPodAutoscaler", "automl-api-hpa",
            {"status": {"conditions": [{"type": "ScalingActive", "status": "False", "message": "no metrics"}]}},
            "autoscaling", "failed",
        ),
        ("HorizontalPodAutoscaler", "automl-api-hpa", {"status": {"currentReplicas": 100}}, "autoscaling", "warning"),
        ("PodDisruptionBudget", "automl-api", {"status": {"disruptionsAllowed": 0}}, "disruptions", "warning"),
        ("CronJob", "automl-retrain", {"spec": {"suspend": True}}, "retraining", "warning"),
    ],
)  # fmt: skip
def test_trouble_turns_its_line(
    items, tmp_path: Path, kind: str, name: str, parts: Any, check: str, state: str
) -> None:
    found = diagnose(changed(items, kind, name, **parts), tmp_path)
    others = {other: found[other]["state"] for other in CHECKS if other != check}
    assert found[check]["state"] == state
    assert set(others.values()) == {"ok"}


@pytest.mark.parametrize("check", CHECKS)
def test_what_is_missing_fails(tmp_path: Path, check: str) -> None:
    assert diagnose([], tmp_path)[check]["state"] == "failed"


def test_cluster_that_cannot_be_reached_is_one_failed_line(tmp_path: Path) -> None:
    need("kubectl", "kubectl")
    found = run({"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)})
    assert found["Kubernetes"]["state"] == "failed"
    assert "kubectl: " in found["Kubernetes"]["said"]
    assert [check for check in CHECKS if check in found] == []
