"""The compose file: valid, and made of files, networks and settings that are there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from deployment import DEPLOY, need

from automl_core.plugins import Plugins
from automl_core.settings import PLAIN_NAMES, load_settings, validate_block

COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
TEXT = yaml.safe_dump(COMPOSE)  # with its merge keys resolved
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
every_service = pytest.mark.parametrize("name", sorted(SERVICES))
ENDING = {"bucket"}
GIVEN = {"ON_CALL_URL", "TICKETS_URL"}  # secrets that cannot be made up, of a profile that needs them


def test_file_is_valid() -> None:
    assert set(PyCompose.from_yaml(TEXT).service_names()) == set(SERVICES)


def test_check_sees_a_mistyped_key() -> None:
    with pytest.raises(ValueError, match="healthchek"):
        PyCompose.from_yaml(TEXT.replace("healthcheck:", "healthchek:", 1))


def test_services_are_the_guide_s() -> None:
    assert {"api", "redis", "mlflow", "prometheus", "grafana"} <= set(SERVICES)
    assert SERVICES["api"]["deploy"] == {"replicas": 4, "resources": {"limits": {"cpus": "2", "memory": "4G"}}}


def test_clusters_and_alertmanager_are_profiles_and_all_else_starts_by_itself() -> None:
    chosen = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert chosen == {
        "ray-head": ["ray"], "ray-worker": ["ray"], "dask-scheduler": ["dask"], "dask-worker": ["dask"],
        "alertmanager": ["on-call"],
    }  # fmt: skip


@every_service
def test_service_is_closed(name: str) -> None:
    if name in ENDING:
        pytest.skip("it makes the bucket and ends")
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@every_service
def test_image_has_a_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:[A-Za-z0-9.-]*[0-9][A-Za-z0-9.-]*", SERVICES[name]["image"])


@every_service
def test_bound_files_are_here(name: str) -> None:
    bound = [item["source"] for item in SERVICES[name].get("volumes", ()) if item["type"] == "bind"]
    assert [path for path in bound if path != "./models" and not (DEPLOY / path).exists()] == []


@every_service
def test_dependencies_are_healthy_first(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ENDING else "service_healthy"
        assert how == {"condition": wanted}
        # The health check of our own image is in its Dockerfile.
        assert other in ENDING or "healthcheck" in SERVICES[other] or "build" in SERVICES[other]


@every_service
def test_only_the_balancer_is_open_to_the_network(name: str) -> None:
    if name != "balancer":
        assert [port for port in SERVICES[name].get("ports", ()) if not port.startswith("127.0.0.1:")] == []


def test_no_secret_is_in_the_file() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY|TOKEN|SECRET", key) or str(value).startswith("/run/secrets/"), key


def test_secrets_are_those_that_are_made(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert {Path(item["file"]).name for item in COMPOSE["secrets"].values()} - GIVEN == made
    assert set(SERVICES["alertmanager"]["secrets"]) == GIVEN
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == set(COMPOSE["secrets"])


def test_secrets_are_random_private_and_kept(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert len(set(before.values())) == len(before)
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    assert before["SCRAPE_KEY"].strip() in before["API_KEYS"].split()
    subprocess.run([DEPLOY / "make-secrets", tmp_path], check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_variables_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = SERVICES["api"]["environment"]
    names = [name for name in told if name.startswith("AUTOML_") or name in PLAIN_NAMES]
    assert len(names) > 5
    for name in names:
        monkeypatch.setenv(name, told[name])
    settings = load_settings()
    host = Plugins(settings)
    for plugin, block in settings.plugins.items():
        if host.installed(plugin):
            models = [provider.settings() for _, _, provider in host.describe(plugin) if provider.settings is not None]
            validate_block(plugin, models[0], block)


def test_targets_of_prometheus_are_the_replicas() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == SERVICES["api"]["networks"]["default"]["aliases"]
    assert Path(job["authorization"]["credentials_file"]).name in SERVICES["prometheus"]["secrets"]


def test_data_source_of_grafana_is_prometheus() -> None:
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_configuration_of_prometheus_is_valid(tmp_path: Path) -> None:
    need("promtool", "prometheus")
    (tmp_path / "key").write_text("k")
    told = (DEPLOY / "prometheus/prometheus.yml").read_text().replace("/run/secrets/SCRAPE_KEY", str(tmp_path / "key"))
    (tmp_path / "prometheus.yml").write_text(told)
    (tmp_path / "rules.yml").write_text((DEPLOY / "prometheus/rules.yml").read_text())
    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_is_where_prometheus_looks_for_it() -> None:
    (manager,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["alerting"]["alertmanagers"]
    (found,) = manager["dns_sd_configs"]
    assert found["names"] == ["alertmanager"]
    assert f"127.0.0.1:{found['port']}:{found['port']}" in SERVICES["alertmanager"]["ports"]


@pytest.mark.parametrize(("severity", "receiver"), [("page", "on-call"), ("ticket", "tickets")])
def test_pages_and_tickets_go_their_ways(tmp_path: Path, severity: str, receiver: str) -> None:
    """By amtool, which before 0.26 knows no `url_file`: it gets the URL in its place."""
    need("amtool", "prometheus-alertmanager")
    text = (DEPLOY / "alertmanager/alertmanager.yml").read_text()
    assert set(re.findall("url_file: /run/secrets/(.*)", text)) == GIVEN
    file = tmp_path / "alertmanager.yml"
    file.write_text(re.sub("url_file: .*", "url: http://127.0.0.1:9/", text))
    command = ["amtool", "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}"]
    done = subprocess.run([*command, f"severity={severity}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
