"""Prometheus scrapes, knows our rules, understands our dashboards, and knows whom to tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from automl.doctor.asked import Asked
from automl.doctor.dashboards import read_dashboard
from automl.doctor.route import check_route
from automl.doctor.web import ask
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError, ComponentUnavailable, DataError

__all__ = ["check_prometheus"]

JOB = "automl"  # what the names of our jobs begin with
RULES = "Load deploy/prometheus/rules.yml: rule_files of its configuration, or the PrometheusRule of deploy/kubernetes."
# Line of the guide's checklist, and the rules without which it does not hold.
NEEDED = {
    "SLA monitoring": {
        "automl:errors:ratio_rate5m",
        "automl:slow:ratio_rate5m",
        "AutomlErrorsBurn1h",
        "AutomlLatencyBurn1h",
    },
    "alert for drift": {"AutomlDrift"},
    "alert for performance": {"AutomlDegraded"},
}
CHECKS = ("scrape", *NEEDED, "dashboards", "alert route")


def check_prometheus(asked: Asked) -> Iterator[Finding]:
    """Ask the Prometheus that runs; without its address everything of it is missing."""
    if not asked.prometheus:
        for check in CHECKS:
            yield Finding(check, ABSENT, "no Prometheus is given", "automl doctor --prometheus http://HOST:9090")
        return
    base = asked.prometheus.rstrip("/")
    try:
        targets = _get(base, "targets?state=active")["activeTargets"]
    except AutoMLError as error:
        for check in CHECKS if asked.dashboards else (name for name in CHECKS if name != "dashboards"):
            yield Finding(check, FAILED, str(error), "Start Prometheus; deploy/README.md#prometheus-is-down")
        return
    yield _scrape(targets)
    yield from _rules(_get(base, "rules")["groups"])
    yield _dashboards(base, asked.dashboards)
    known = [manager["url"] for manager in _get(base, "alertmanagers")["activeAlertmanagers"]]
    yield check_route(known, asked.alertmanager)


def _get(base: str, path: str) -> Any:
    answer = ask(f"{base}/api/v1/{path}").json()
    if answer.get("status") != "success":
        raise ComponentUnavailable(f"{base} refuses {path}: {answer.get('error', answer)}.")
    return answer["data"]


def _scrape(targets: list[dict[str, Any]]) -> Finding:
    ours = [target for target in targets if target["labels"].get("job", "").startswith(JOB)]
    down = [target for target in ours if target["health"] != "up"]
    if not ours:
        said = f"none of {len(targets)} targets is of a job that begins with {JOB!r}"
        return Finding("scrape", FAILED, said, "Use deploy/prometheus/prometheus.yml, or the ServiceMonitor.")
    if down:
        reason = down[0].get("lastError") or "not scraped yet"
        said = f"{len(down)} of {len(ours)} targets are not up; {down[0]['scrapeUrl']}: {reason}"
        return Finding(
            "scrape", FAILED if len(down) == len(ours) else WARNING, said, "Start them, or open the way to them."
        )
    return Finding("scrape", OK, f"{len(ours)} of {len(ours)} targets are up")


def _rules(groups: list[dict[str, Any]]) -> Iterator[Finding]:
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    for check, names in NEEDED.items():
        missing, broken = (
            sorted(names - set(rules)),
            [n for n in sorted(names & set(rules)) if rules[n]["health"] == "err"],
        )
        if missing:
            yield Finding(check, FAILED, f"not loaded: {', '.join(missing)}", RULES)
        elif broken:
            yield Finding(check, FAILED, f"{broken[0]} fails: {rules[broken[0]].get('lastError')}", RULES)
        else:
            yield Finding(check, OK, f"loaded: {', '.join(sorted(names))}")
    firing = sorted(name for name, rule in rules.items() if rule.get("state") == "firing")
    for name in firing:
        yield Finding(f"alert {name}", WARNING, "it fires now", f"deploy/README.md#{name.lower()}")


def _dashboards(base: str, files: Sequence[str]) -> Finding:
    if not files:
        return Finding(
            "dashboards", ABSENT, "no dashboard is given", "--dashboard deploy/grafana/dashboards/automl.json"
        )
    asked = 0
    for file in files:
        try:
            queries = read_dashboard(file).queries
        except DataError as error:
            return Finding("dashboards", FAILED, str(error), "Export it again.")
        for query in queries:
            try:
                _get(base, f"query?query={quote(_fill(query))}")
            except AutoMLError as error:
                return Finding("dashboards", FAILED, f"{file}: {query}: {error}", "Correct the query.")
            asked += 1
    return Finding("dashboards", OK, f"{len(files)} with {asked} queries that Prometheus answers")


def _fill(query: str) -> str:
    """Put something for the variables of a dashboard."""
    return (
        query.replace("$__rate_interval", "5m")
        .replace("$__interval", "1m")
        .replace("$__range", "1h")
        .replace("$model", ".*")
    )
