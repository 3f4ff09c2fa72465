"""Alert rules and dashboards: that they load, fire when they should, and name only what is exported."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

pytest.importorskip("automl_drift")
pytest.importorskip("automl_prometheus")

from automl.retrain.following import summarise
from automl_core import Event
from automl_drift.monitor import DriftMonitor
from automl_prometheus.monitor import PrometheusMonitor

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
NAME = re.compile(r"(?<![:\w])automl_[a-z0-9_]+")
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (package prometheus)"
)


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=RULES.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def expressions(dashboard: Path) -> list[str]:
    body = json.loads(dashboard.read_text())
    return [target["expr"] for panel in body["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Return the names of all samples that a scrape gives after some traffic."""
    with DriftMonitor(interval=60) as drift:
        prometheus = PrometheusMonitor()
        statistics = {"edges": [0.0, 1.0, 2.0], "counts": [500, 500]}
        schema = {"rows": 1000, "inputs": [{"name": "x", "kind": "number", "statistics": statistics}]}
        inputs = {"x": np.linspace(0, 2, 200)}
        served = {"model": "m", "version": "1"}
        calibration = {"certainty": [0.5, 0.9] * 100, "right": [True, True, False, True] * 50}
        comparison = {"metric": "accuracy", "champion": 0.9, "challenger": 0.8}
        decision = Event("retraining", 0.0, {"stage": "rejected", "run": "r", "comparison": comparison})
        events = [
            Event(
                "model",
                time.time(),
                {**served, "schema": schema, "scores": {"accuracy": 0.9}, "calibration": calibration},
            ),
            Event(
                "prediction",
                0.0,
                {**served, "seconds": [0.1], "rows": 200, "hits": 1, "inputs": inputs, "certainties": [0.9] * 200},
            ),
            Event("degradation", 0.0, {"model": "m"}),
            Event("retraining", 0.0, {"model": "m", **summarise([decision])}),
        ]
        for event in events:
            drift.emit(event)
            prometheus.emit(event)
        drift.flush()
        text = (drift.expose()[1] + prometheus.expose()[1]).decode()
    return {re.split(r"[{ ]", line, maxsplit=1)[0] for line in text.splitlines() if not line.startswith("#")}


def test_rules_name_only_what_is_exported(exported: set[str]) -> None:
    lines = [line for line in RULES.read_text().splitlines() if not line.lstrip().startswith("#")]
    named = set(NAME.findall("\n".join(lines)))
    assert named
    assert named <= exported


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_name_only_what_is_exported(dashboard: Path, exported: set[str]) -> None:
    named = {name for expression in expressions(dashboard) for name in NAME.findall(expression)}
    assert named
    assert named <= exported


@needs_promtool
def test_rules_load() -> None:
    promtool("check", "rules", "rules.yml")


@needs_promtool
def test_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_every_alert_is_seen_to_fire() -> None:
    tests = yaml.safe_load((RULES.parent / "rules_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert {rule["alert"] for rule in rules if "alert" in rule} == fired


@needs_promtool
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_expressions_of_dashboards_parse(dashboard: Path, tmp_path: Path) -> None:
    rules = [{"record": f"panel:{i}", "expr": e.replace("$model", ".*")} for i, e in enumerate(expressions(dashboard))]
    path = tmp_path / "rules.json"  # YAML in its JSON form
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(path))


# The queries of the production guide, which the dashboard draws for a model that is chosen.
GUIDE = (
    "rate(automl_requests_total[5m])",
    "rate(automl_errors_total[5m])",
    "histogram_quantile(0.99, sum by (le) (rate(automl_request_latency_seconds_bucket[5m])))",
    "rate(automl_cache_hits_total[5m])",
    "rate(automl_cache_misses_total[5m])",
    "automl_model_score",
)


def test_dashboard_draws_what_the_guide_asks_for() -> None:
    drawn = " ".join(expressions(DEPLOY / "grafana/dashboards/automl.json")).replace('{model=~"$model"}', "")
    assert [query for query in GUIDE if query not in drawn] == []


def test_grafana_finds_its_dashboards_and_data() -> None:
    provisioning = DEPLOY / "grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/automl.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text())["datasources"]
    volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    mounted = {item["target"]: item["source"] for item in volumes}
    assert list((DEPLOY / mounted[provider["options"]["path"]]).glob("*.json")) == DASHBOARDS
    assert (DEPLOY / mounted["/etc/grafana/provisioning"]).resolve() == provisioning.resolve()
    for dashboard in DASHBOARDS:
        body = json.loads(dashboard.read_text())
        wanted = {
            target["datasource"]["uid"]
            for panel in body["panels"]
            for target in panel["targets"]
            if "datasource" in target
        }
        (variable,) = (one for one in body["templating"]["list"] if one["type"] == "datasource")
        assert wanted <= {source["uid"], f"${{{variable['name']}}}"}
        assert variable["query"] == source["type"]
