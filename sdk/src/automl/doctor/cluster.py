"""What Kubernetes runs of ours: pods behind the service, autoscaling, a budget for disruptions, retraining."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl.doctor.asked import Asked
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding

__all__ = ["check_cluster"]

API = "automl-api"
RETRAIN = "automl-retrain"
LABEL = "app.kubernetes.io/part-of=automl"
KINDS = "deployments,horizontalpodautoscalers,poddisruptionbudgets,cronjobs"
APPLY = "kubectl apply -k deploy/kubernetes/overlays/prod"
SECONDS = 20


def check_cluster(asked: Asked) -> Iterator[Finding]:
    """Ask Kubernetes by kubectl, with the rights of whoever runs this."""
    if not asked.namespace:
        listening = _listening(asked)
        for check in ("load balancer", "autoscaling", "disruptions", "retraining"):
            if check == "retraining" and listening is not None:
                yield listening
            else:
                yield Finding(check, ABSENT, "no namespace is given", "automl doctor --namespace automl")
        return
    if shutil.which("kubectl") is None:
        yield Finding("Kubernetes", FAILED, "kubectl is not installed", "Install it, and a kubeconfig that may read.")
        return
    found, problem = _read(asked.namespace)
    if problem:
        yield Finding("Kubernetes", FAILED, problem, "See `kubectl config current-context` and its rights to read.")
        return
    yield _pods(found)
    yield _scaling(found)
    yield _disruptions(found)
    yield _retraining(found)


def _listening(asked: Asked) -> Finding | None:
    """Return what is to be said of retraining that alerts start, without a schedule; None where nothing listens."""
    if "retrain" not in asked.settings.listeners:
        return None
    from automl.retrain.settings import RetrainSettings
    from automl_core.settings import validate_block

    told = validate_block("retrain", RetrainSettings, asked.settings.plugins.get("retrain", {}))
    if not told.ledger and not told.recent:
        said = "the listener retrain has no rows with their truth to learn from"
        return Finding("retraining", WARNING, said, "AUTOML_PLUGINS__RETRAIN__LEDGER, or ..._RECENT")
    if not told.recent and not Path(told.ledger).is_file():
        said = f"nothing is kept to learn from: there is no ledger {told.ledger} here"
        return Finding("retraining", WARNING, said, "AUTOML_SERVER_LEDGER, and predictions; ask where the server runs.")
    return Finding("retraining", OK, f"at alerts of {', '.join(told.alerts)}, by the listener retrain")


def _read(namespace: str) -> tuple[list[dict[str, Any]], str]:
    command = ["kubectl", "get", KINDS, "--namespace", namespace, "--selector", LABEL, "--output", "json"]
    try:
        done = subprocess.run(
            [*command, f"--request-timeout={SECONDS}s"], capture_output=True, text=True, timeout=2 * SECONDS
        )
    except subprocess.TimeoutExpired:
        return [], f"kubectl gave no answer within {2 * SECONDS} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return [], f"kubectl: {lines[-1]}"
    return json.loads(done.stdout)["items"], ""


def _find(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any] | None:
    return next((item for item in found if item["kind"] == kind and item["metadata"]["name"] == name), None)


def _pods(found: list[dict[str, Any]]) -> Finding:
    item = _find(found, "Deployment", API)
    if item is None:
        return Finding("load balancer", FAILED, f"there is no Deployment {API}", APPLY)
    ready, wanted = item.get("status", {}).get("readyReplicas", 0), item["spec"].get("replicas", 1)
    said = f"{ready} of {wanted} pods of {API} are ready"
    if ready == 0:
        return Finding("load balancer", FAILED, said, "deploy/README.md#the-service-is-down")
    if ready < max(wanted, 2):
        return Finding("load balancer", WARNING, said, "kubectl describe pods; one pod is no availability.")
    return Finding("load balancer", OK, said)


def _scaling(found: list[dict[str, Any]]) -> Finding:
    scalers = [
        i for i in found if i["kind"] == "HorizontalPodAutoscaler" and i["spec"]["scaleTargetRef"]["name"] == API
    ]
    if not scalers:
        return Finding("autoscaling", FAILED, f"no HorizontalPodAutoscaler scales {API}", APPLY)
    spec, status = scalers[0]["spec"], scalers[0].get("status", {})
    said = f"{spec.get('minReplicas', 1)} to {spec['maxReplicas']} pods, {status.get('currentReplicas', 0)} now"
    stuck = [c for c in status.get("conditions", ()) if c["type"] != "ScalingLimited" and c["status"] != "True"]
    if stuck:
        return Finding(
            "autoscaling", FAILED, f"{said}; {stuck[0].get('message', stuck[0]['type'])}", "Is metrics-server there?"
        )
    if status.get("currentReplicas") == spec["maxReplicas"]:
        return Finding("autoscaling", WARNING, f"{said}: no room left", "Raise maxReplicas; deploy/README.md#capacity")
    return Finding("autoscaling", OK, said)


def _disruptions(found: list[dict[str, Any]]) -> Finding:
    item = next((i for i in found if i["kind"] == "PodDisruptionBudget"), None)
    if item is None:
        return Finding("disruptions", FAILED, "no PodDisruptionBudget: a drain of nodes may stop all pods", APPLY)
    allowed = item.get("status", {}).get("disruptionsAllowed", 0)
    if allowed == 0:
        return Finding("disruptions", WARNING, "not one pod may be evicted now: a drain of nodes waits", "Scale up.")
    return Finding("disruptions", OK, f"{allowed} pods may be evicted at a time")


def _retraining(found: list[dict[str, Any]]) -> Finding:
    item = _find(found, "CronJob", RETRAIN)
    if item is None:
        return Finding("retraining", FAILED, f"there is no CronJob {RETRAIN}", APPLY)
    if item["spec"].get("suspend"):
        return Finding(
            "retraining",
            WARNING,
            "it is suspended",
            f'kubectl patch cronjob {RETRAIN} -p \'{{"spec":{{"suspend":false}}}}\'',
        )
    last = item.get("status", {}).get("lastSuccessfulTime", "never yet")
    return Finding("retraining", OK, f"at {item['spec']['schedule']}, last done {last}")
