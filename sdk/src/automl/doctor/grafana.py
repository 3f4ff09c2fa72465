"""Grafana answers, and has loaded our dashboards as their files are.

Asked as its HTTP API reference says: `/api/health` needs no token, `/api/dashboards/uid/UID` that of a service account
with the role Viewer, unless anybody may look.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from automl.doctor.asked import Asked
from automl.doctor.dashboards import Dashboard, queries_of, read_dashboard
from automl.doctor.web import ask
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError

__all__ = ["check_grafana"]

HEALTH, LOADED = CHECKS = ("Grafana", "dashboards in Grafana")
RUNBOOK = "deploy/README.md#grafana"


def check_grafana(asked: Asked) -> Iterator[Finding]:
    """Ask the Grafana that runs; without its address all of it is missing."""
    if not asked.grafana:
        for check in CHECKS:
            yield Finding(check, ABSENT, "no Grafana is given", "automl doctor --grafana http://HOST:3000")
        return
    base = asked.grafana.rstrip("/")
    try:
        yield _health(base)
    except AutoMLError as error:
        for check in CHECKS:
            yield Finding(check, FAILED, str(error), f"Start it, or see its log; {RUNBOOK}")
        return
    if not asked.dashboards:
        yield Finding(LOADED, ABSENT, "no dashboard is given", "--dashboard deploy/grafana/dashboards/automl.json")
        return
    found = [_loaded(base, file, asked.grafana_token) for file in asked.dashboards]
    bad = next((finding for finding in found if finding.state != OK), None)
    yield bad or Finding(LOADED, OK, "; ".join(finding.said for finding in found))


def _health(base: str) -> Finding:
    answer = ask(f"{base}/api/health")
    told = answer.json()
    if answer.status != 200 or told.get("database") != "ok":
        said = f"{base} is not well: status {answer.status}, its database is {told.get('database', 'unknown')}"
        return Finding(HEALTH, FAILED, said, f"See its log; {RUNBOOK}")
    return Finding(HEALTH, OK, f"{base} is well, version {told.get('version', 'unknown')}")


def _loaded(base: str, file: str, token: str) -> Finding:
    try:
        return _compare(base, read_dashboard(file), token)
    except AutoMLError as error:
        return Finding(LOADED, FAILED, str(error), RUNBOOK)


def _compare(base: str, wanted: Dashboard, token: str) -> Finding:
    if not wanted.uid:
        return Finding(LOADED, FAILED, f"{wanted.file} has no uid to look it up by", "Give it one; Grafana keeps it.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = ask(f"{base}/api/dashboards/uid/{quote(wanted.uid, safe='')}", headers=headers)
    if answer.status in (401, 403):
        said = f"{base} does not show {wanted.uid}: status {answer.status}"
        return Finding(LOADED, FAILED, said, f"--grafana-token-file, of a service account that may view; {RUNBOOK}")
    if answer.status != 200:
        said = f"{base} has no dashboard {wanted.uid}: status {answer.status}"
        return Finding(LOADED, FAILED, said, f"Provision or import {wanted.file}; {RUNBOOK}")
    there = set(queries_of({"panels": (), **answer.json().get("dashboard", {})}))
    missing = [query for query in wanted.queries if query not in there]
    if missing:
        said = f"{wanted.uid} lacks {len(missing)} of {len(wanted.queries)} queries, such as {missing[0]}"
        return Finding(LOADED, WARNING, said, f"Import {wanted.file} again; {RUNBOOK}")
    return Finding(LOADED, OK, f"{wanted.uid} is loaded, with all {len(wanted.queries)} queries of its file")
