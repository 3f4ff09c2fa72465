"""Manifests: valid, closed, consistent among themselves and with the settings of the packages."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml
from deployment import DEPLOY, OVERLAYS, kustomize, pods

from automl_core.plugins import FIRST_PARTY, Plugins
from automl_core.settings import PLAIN_NAMES, load_settings, validate_block

VERSION = "1.34"
# By hand, from the published types of the operators: the fields that are used here, and no others.
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}


def closed(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": required.split(), "additionalProperties": False,
    }  # fmt: skip


def many(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


POD = {"type": "object"}  # checked against the schema of a Pod
DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d|w|y))+$"}
RULE = closed(
    "expr",
    record=TEXT,
    alert=TEXT,
    expr=TEXT,
    **{"for": DURATION},
    keep_firing_for=DURATION,
    labels=TEXTS,
    annotations=TEXTS,
)
CUSTOM = {
    "RayCluster": closed(
        "rayVersion headGroupSpec workerGroupSpecs",
        rayVersion=TEXT,
        enableInTreeAutoscaling=FLAG,
        autoscalerOptions=closed(
            "", idleTimeoutSeconds=NUMBER, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
            resources={"type": "object"},
        ),
        headGroupSpec=closed("rayStartParams template", serviceType=TEXT, rayStartParams=TEXTS, template=POD),
        workerGroupSpecs=many(
            closed(
                "groupName minReplicas maxReplicas rayStartParams template", groupName=TEXT, replicas=NUMBER,
                minReplicas=NUMBER, maxReplicas=NUMBER, rayStartParams=TEXTS, template=POD,
            )
        ),
    ),
    "RayJob": closed("entrypoint clusterSelector", suspend=FLAG, entrypoint=TEXT, clusterSelector=TEXTS, runtimeEnvYAML=TEXT),
    "DaskCluster": closed(
        "worker scheduler",
        worker=closed("replicas spec", replicas=NUMBER, spec=POD),
        scheduler=closed("spec service", spec=POD, service={"type": "object", "required": ["selector", "ports"]}),
    ),
    "DaskAutoscaler": closed("cluster minimum maximum", cluster=TEXT, minimum=NUMBER, maximum=NUMBER),
    "ServiceMonitor": closed(
        "selector endpoints",
        selector=closed("matchLabels", matchLabels=TEXTS),
        endpoints=many(
            closed(
                "port", port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION,
                authorization=closed("credentials", type=TEXT, credentials=closed("name key", name=TEXT, key=TEXT)),
            )
        ),
    ),
    "PrometheusRule": closed("groups", groups=many(closed("name rules", name=TEXT, interval=DURATION, rules=many(RULE)))),
}  # fmt: skip
# What the operator of the cluster makes beforehand; deploy/README.md says how.
SECRETS = {
    "automl-secrets": {"API_KEYS", "REDIS_PASSWORD", "POSTGRES_PASSWORD"},
    "automl-scrape-key": {"key"},
    "automl-api-tls": set(),
}


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return kustomize(request.param)


@pytest.fixture(scope="module")
def prod() -> list[dict[str, Any]]:
    return kustomize("prod")


def one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def environment(objects: list[dict[str, Any]], container: dict[str, Any]) -> dict[str, str]:
    maps = [
        one(objects, "ConfigMap", source["configMapRef"]["name"])["data"] for source in container.get("envFrom", ())
    ]
    found = {name: value for data in maps for name, value in data.items()}
    for item in container.get("env", ()):
        place = item.get("valueFrom", {}).get("configMapKeyRef")
        chosen = one(objects, "ConfigMap", place["name"])["data"][place["key"]] if place else item.get("value", "")
        found[item["name"]] = chosen
    return found


# ---- each object by itself


def test_objects_are_valid(objects) -> None:
    known = [item for item in objects if item["kind"] not in CUSTOM]
    assert len(known) > 20
    for item in known:
        kubernetes_validate.validate(item, VERSION, strict=True)


def test_check_sees_a_mistyped_field(prod) -> None:
    broken = json.loads(json.dumps(one(prod, "Deployment", "automl-api")))
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_custom_objects_are_valid(prod) -> None:
    custom = [item for item in prod if item["kind"] in CUSTOM]
    assert {item["kind"] for item in custom} == set(CUSTOM)
    for item in custom:
        jsonschema.validate(item["spec"], CUSTOM[item["kind"]])


@pytest.mark.parametrize("kind", ["RayCluster", "DaskCluster"])
def test_pods_of_custom_objects_are_valid(prod, kind: str) -> None:
    found = [(name, spec) for name, spec in pods(prod) if name.startswith(kind)]
    assert len(found) == 2
    for name, spec in found:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name.lower().replace("/", "-")}, "spec": spec}
        kubernetes_validate.validate(pod, VERSION, strict=True)


def test_rules_are_those_of_prometheus(prod) -> None:
    told = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    assert one(prod, "PrometheusRule", "automl")["spec"] == told, "run deploy/kubernetes/refresh"


# ---- pods are closed


def test_pods_run_with_few_rights(objects) -> None:
    for name, spec in pods(objects):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            # Ray and Dask write beside their code.
            assert rights.get("readOnlyRootFilesystem") is True or name.startswith(("RayCluster", "DaskCluster")), name


def test_pods_get_no_variables_of_services(objects) -> None:
    # AUTOML_API_PORT and the like, of the service automl-api, would be unknown settings.
    assert [name for name, spec in pods(objects) if spec.get("enableServiceLinks") is not False] == []


def test_containers_say_what_they_need(objects) -> None:
    for name, spec in pods(objects):
        for container in spec["containers"]:
            sizes = container["resources"]
            assert {"cpu", "memory"} <= set(sizes["requests"]), name
            assert "memory" in sizes["limits"], name


def test_services_are_probed(objects) -> None:
    for name, spec in pods(objects):
        if name.startswith(("Deployment", "StatefulSet")):
            assert {"readinessProbe", "livenessProbe"} <= set(spec["containers"][0]), name


def test_images_have_a_version(objects) -> None:
    images = {container["image"] for _, spec in pods(objects) for container in spec["containers"]}
    assert len(images) >= 5
    assert [image for image in images if ":" not in image or image.endswith(":latest")] == []


# ---- objects fit together


def test_references_lead_somewhere(objects) -> None:
    maps = {item["metadata"]["name"] for item in objects if item["kind"] == "ConfigMap"}
    claims = {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"}
    accounts = {item["metadata"]["name"] for item in objects if item["kind"] == "ServiceAccount"}
    for name, spec in pods(objects):
        assert spec.get("serviceAccountName", "") in accounts | {""}, name
        for volume in spec.get("volumes", ()):
            assert volume.get("configMap", {"name": None})["name"] in maps | {None}, name
            assert volume.get("persistentVolumeClaim", {"claimName": None})["claimName"] in claims | {None}, name
            if secret := volume.get("secret"):
                assert {item["key"] for item in secret["items"]} <= SECRETS[secret["secretName"]], name
        for container in spec["containers"]:
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in maps, name
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            offered = {volume["name"] for volume in spec.get("volumes", ())}
            assert mounted <= offered | {"data"}, name


def test_secrets_are_made_as_the_runbook_says() -> None:
    text = (DEPLOY / "README.md").read_text()
    for name, keys in SECRETS.items():
        assert name in text
        assert [key for key in keys if key not in text] == []


def test_services_find_their_pods(objects) -> None:
    labelled = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in objects
        if item["kind"] in ("Deployment", "StatefulSet")
    ]
    services = [item for item in objects if item["kind"] == "Service"]
    assert {"automl-api", "redis-service", "mlflow-service"} <= {item["metadata"]["name"] for item in services}
    for item in services:
        wanted = item["spec"]["selector"].items()
        assert any(wanted <= labels.items() for labels in labelled), item["metadata"]["name"]


def test_hosts_that_pods_ask_are_services(objects) -> None:
    services = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Service"}
    found = environment(objects, one(objects, "Deployment", "automl-api")["spec"]["template"]["spec"]["containers"][0])
    assert found["REDIS_HOST"] in services
    host, port = re.fullmatch(r"http://([a-z-]+):(\d+)", found["MLFLOW_TRACKING_URI"]).groups()
    assert int(port) in [item["port"] for item in services[host]["spec"]["ports"]]


def test_every_pod_is_behind_a_network_policy(objects) -> None:
    policies = [item for item in objects if item["kind"] == "NetworkPolicy"]
    assert any(item["spec"]["podSelector"] == {} and item["spec"]["policyTypes"] == ["Ingress"] for item in policies)


# ---- what the guide and the settings say


def test_autoscaling_is_the_guide_s(prod) -> None:
    spec = one(prod, "HorizontalPodAutoscaler", "automl-api-hpa")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (10, 100)
    targets = {
        m["resource"]["name"]: m["resource"]["target"]["averageUtilization"]
        for m in spec["metrics"]
        if m["type"] == "Resource"
    }
    assert targets == {"cpu": 70, "memory": 80}


def test_autoscaling_asks_for_a_metric_that_the_adapter_makes(prod) -> None:
    (wanted,) = (
        m["pods"]["metric"]["name"]
        for m in one(prod, "HorizontalPodAutoscaler", "automl-api-hpa")["spec"]["metrics"]
        if m["type"] == "Pods"
    )
    (rules,) = (
        item["data"]["config.yaml"] for item in prod if item["metadata"]["name"].startswith("automl-adapter-rules")
    )
    assert [rule["name"]["as"] for rule in yaml.safe_load(rules)["rules"]] == [wanted]


def test_pod_is_the_guide_s(prod) -> None:
    (container,) = one(prod, "Deployment", "automl-api")["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "api"
    assert container["ports"] == [{"name": "http", "containerPort": 8000}]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "4Gi"},
        "limits": {"cpu": "4", "memory": "8Gi"},
    }


def test_pod_has_time_to_end(objects) -> None:
    spec = one(objects, "Deployment", "automl-api")["spec"]["template"]["spec"]
    found = environment(objects, spec["containers"][0])
    drain, grace = (float(found[f"AUTOML_PLUGINS__STARLETTE__{name}"]) for name in ("DRAIN", "GRACE"))
    waits = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits + drain + grace < spec["terminationGracePeriodSeconds"]


def test_pods_are_spread_and_never_drained_together(objects) -> None:
    spec = one(objects, "Deployment", "automl-api")["spec"]
    labels = spec["selector"]["matchLabels"]
    spread = spec["template"]["spec"]["topologySpreadConstraints"]
    assert {item["topologyKey"] for item in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(item["labelSelector"]["matchLabels"] == labels for item in spread)
    budget = one(objects, "PodDisruptionBudget", "automl-api")["spec"]
    assert (budget["selector"]["matchLabels"], budget["maxUnavailable"]) == (labels, "10%")
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_variables_are_settings(objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    containers = [(name, container) for name, spec in pods(objects) for container in spec["containers"]]
    ours = 0
    for name, container in containers:
        found = environment(objects, container)
        names = {key for key in found if key.startswith("AUTOML_") or key in PLAIN_NAMES}
        for key in names:
            monkeypatch.setenv(key, str(tmp_path) if key == "AUTOML_SECRETS_DIR" else found[key])
        settings = load_settings()
        assert set(settings.plugins) <= set(FIRST_PARTY), name
        host = Plugins(settings)
        for plugin, block in settings.plugins.items():
            if not host.installed(plugin):
                continue  # its own tests know its settings
            models = [provider.settings() for _, _, provider in host.describe(plugin) if provider.settings is not None]
            models += host.listener_settings(plugin)
            validate_block(plugin, models[0], block)
        for key in names:
            monkeypatch.delenv(key)
        ours += len(names)
    assert ours > 10


def commands(objects: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    found = [
        (name, container["args"])
        for name, spec in pods(objects)
        for container in (*spec.get("initContainers", ()), *spec["containers"])
        if "automl-train" in container["image"] and "args" in container
    ]
    for item in objects:
        if item["kind"] == "RayJob":
            entry = item["spec"]["entrypoint"]
            for key, value in yaml.safe_load(item["spec"]["runtimeEnvYAML"])["env_vars"].items():
                entry = entry.replace(f"${key}", value)
            program, *words = shlex.split(entry)
            assert program == "automl"
            found.append((f"RayJob/{item['metadata']['name']}", words))
    return found


def test_jobs_call_commands_that_exist(objects, tmp_path: Path) -> None:
    here = tmp_path / "model.automl"
    here.touch()
    from automl.cli.app import cli

    found = commands(objects)
    assert found
    for name, words in found:
        group: Any = cli
        while isinstance(group, click.Group):
            command, *words = words
            assert command in group.commands, f"{name}: automl has no command {command}"
            group = group.commands[command]
        # A folder of the image is none of this machine, and a file is made by the container before.
        words = [word.replace("/var/lib/automl/model.automl", str(here)) for word in words]
        group.make_context(command, words, parent=click.Context(cli))


def test_jobs_use_variables_that_exist(objects) -> None:
    for name, spec in pods(objects):
        for container in spec["containers"]:
            used = set(re.findall(r"\$\(([A-Z_]+)\)", " ".join(container.get("args", ()))))
            assert used <= set(environment(objects, container)) | {"DASK_WORKER_NAME"}, name


def test_ray_is_the_version_that_is_installed(prod) -> None:
    pins = dict(re.findall(r"^([a-z]+)==(.+)$", (DEPLOY / "constraints.txt").read_text(), re.MULTILINE))
    if "ray" not in pins:
        pytest.skip("Ray is not pinned in this checkout")
    assert one(prod, "RayCluster", "ray")["spec"]["rayVersion"] == pins["ray"]


def test_every_manifest_is_in_an_overlay() -> None:
    folders = [DEPLOY / name for name in ("kubernetes", "redis", "mlflow", "ray", "dask")]
    files = {
        path for folder in folders for path in folder.rglob("*") if path.suffix in (".yaml", ".env") and path.is_file()
    }
    named: set[Path] = set()
    for path in (path for path in files if path.name == "kustomization.yaml"):
        told = path.read_text()
        named |= {other for other in files if other.parent == path.parent and other.name in told} | {path}
    assert files - named == set()


def test_refresh_changes_nothing(tmp_path: Path) -> None:
    for part in ("kubernetes/refresh", "prometheus/rules.yml"):
        (tmp_path / part).parent.mkdir()
        shutil.copy(DEPLOY / part, tmp_path / part)
    (tmp_path / "kubernetes/base").mkdir()
    subprocess.run([tmp_path / "kubernetes/refresh"], check=True)
    written = (tmp_path / "kubernetes/base/rules.yaml").read_text()
    assert written == (DEPLOY / "kubernetes/base/rules.yaml").read_text()
