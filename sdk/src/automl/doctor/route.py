"""Alerts reach somebody: every Alertmanager that Prometheus tells of them answers, and has a way to tell on."""

from __future__ import annotations

from collections.abc import Sequence

from automl.doctor.exposition import total
from automl.doctor.web import ask
from automl_core.diagnosis import FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError, ComponentUnavailable

__all__ = ["check_route"]

CHECK, RUNBOOK = "alert route", "deploy/README.md#on-call"
PATH = "/api/v2/alerts"  # where Prometheus sends alerts to
METRICS = ("integrations", "notification_requests_total", "notification_requests_failed_total")
MANY = 0.1  # of attempts since it started: a receiver that was away once is no doubt for ever


def check_route(known: Sequence[str], given: str) -> Finding:
    """Ask each Alertmanager of `known`, as Prometheus writes their addresses; `given` is the address from here instead.

    That a message arrives where it is sent is seen by a test page alone.
    """
    if not known:
        remedy = f"automl stack up --on-call URL, or name an Alertmanager in its configuration; {RUNBOOK}"
        return Finding(CHECK, WARNING, "alerts go nowhere: Prometheus knows no Alertmanager", remedy)
    found = [_ask(base) for base in ([given.rstrip("/")] if given else [url.removesuffix(PATH) for url in known])]
    states = {finding.state for finding in found}
    worst = (
        FAILED if states == {FAILED} else WARNING if states != {OK} else OK
    )  # one of several that is down is a doubt
    bad = next((finding for finding in found if finding.state != OK), found[0])
    return Finding(CHECK, worst, "; ".join(finding.said for finding in found), bad.remedy)


def _ask(base: str) -> Finding:
    try:
        answer = ask(f"{base}/metrics")
        if answer.status != 200:
            raise ComponentUnavailable(f"{base}/metrics answers with status {answer.status}.")
    except AutoMLError as error:
        remedy = f"Start it, or give its address as seen from here: --alertmanager URL; {RUNBOOK}"
        return Finding(CHECK, FAILED, str(error), remedy)
    text = answer.body.decode("utf-8", "replace")
    ways, tried, failed = (total(text, f"alertmanager_{name}") for name in METRICS)
    if ways is None:
        return Finding(CHECK, FAILED, f"{base} is no Alertmanager, or hides its metrics", RUNBOOK)
    if ways == 0:
        return Finding(CHECK, WARNING, f"{base} tells nobody: none of its routes has a receiver", RUNBOOK)
    said = f"alerts go to {base}, which tells {ways:.0f} receiver{'s' * (ways != 1)}; {failed or 0:.0f} of {tried or 0:.0f} attempts failed"
    if tried and failed and failed > MANY * tried:
        return Finding(CHECK, WARNING, said, f"See its log, mend the receiver, send a test page; {RUNBOOK}")
    return Finding(CHECK, OK, said)
