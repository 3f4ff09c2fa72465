"""`automl doctor`: the production checklist, checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import click

from automl.cli.command import Command, echo_json, json_option

if TYPE_CHECKING:
    from automl_core.diagnosis import Finding

__all__ = ["doctor"]

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "not configured": "bright_black", "by hand": "blue"}


@click.command(
    cls=Command,
    examples=[
        "automl doctor",
        "automl doctor model.automl --for serving",
        "automl doctor --url https://predict.example.com --prometheus http://prometheus:9090 --namespace automl",
    ],
)
@click.argument("model", envvar="AUTOML_MODEL_URI", required=False, default="")
@click.option("--for", "purpose", type=click.Choice(["all", "serving", "training"]), default="all", show_default=True)
@click.option(
    "--url",
    envvar="AUTOML_DOCTOR_URL",
    default="",
    help="Address of the server that runs, or of the balancer before several.",
)
@click.option(
    "--prometheus", envvar="AUTOML_DOCTOR_PROMETHEUS", default="", help="Address of the Prometheus that scrapes it."
)
@click.option(
    "--alertmanager", default="", envvar="AUTOML_DOCTOR_ALERTMANAGER",
    help="Address of the Alertmanager as seen from here, where only Prometheus reaches the one that it knows.",
)  # fmt: skip
@click.option(
    "--dashboard", "dashboards", multiple=True, envvar="AUTOML_DOCTOR_DASHBOARDS", type=click.Path(exists=True, dir_okay=False),
    help="FILE of a dashboard whose queries Prometheus must understand, and that Grafana must have; may be repeated.",
)  # fmt: skip
@click.option("--grafana", envvar="AUTOML_DOCTOR_GRAFANA", default="", help="Address of the Grafana that shows them.")
@click.option(
    "--grafana-token-file", "token", type=click.File(), envvar="AUTOML_DOCTOR_GRAFANA_TOKEN_FILE",
    help="FILE with the token of a service account that may view dashboards.",
)  # fmt: skip
@click.option("--namespace", default="", help="Namespace of Kubernetes to look at, by kubectl.")
@click.option(
    "--backup", default="", envvar="AUTOML_DOCTOR_BACKUP",
    help="FILE of `automl backup`, or the folder of its newest one, to be restored as a drill.",
)  # fmt: skip
@click.option("--host", envvar="AUTOML_HOST", default="", hidden=True)
@click.option("--port", envvar="AUTOML_PORT", type=click.IntRange(0, 65535), hidden=True)
@click.option("--strict", is_flag=True, help="Fail also where something is doubtful or not configured.")
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, model: str, purpose: str, url: str, prometheus: str, alertmanager: str, dashboards: tuple[str, ...],
    grafana: str, token: TextIO | None, namespace: str, backup: str, host: str, port: int | None, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Check what production needs: settings, components, the MODEL, and the services that run.

    What is not given an address is reported as not configured. Exits with 1 where a check failed.
    """
    from automl.doctor.asked import Asked
    from automl.doctor.checkup import examine
    from automl.serving.environment import with_services
    from automl_core.settings import load_settings

    asked = Asked(
        with_services(load_settings()), purpose=purpose, model=model, url=url, prometheus=prometheus,
        alertmanager=alertmanager, dashboards=dashboards, grafana=grafana, grafana_token=token.read().strip() if token else "",
        namespace=namespace, backup=backup, host=host, port=port,
    )  # fmt: skip
    findings: list[Finding] = []
    for finding in examine(asked):
        findings.append(finding)
        if not as_json:
            _print(finding)
    counts = Counter(finding.state for finding in findings)
    if as_json:
        echo_json({"findings": [asdict(finding) for finding in findings], "counts": counts})
    else:
        click.echo("\n" + ", ".join(f"{counts[state]} {state}" for state in COLOURS if counts[state]))
    if counts["failed"] or (strict and (counts["warning"] or counts["not configured"])):
        ctx.exit(1)


def _print(finding: Finding) -> None:
    mark = click.style(f"{finding.state:<14}", fg=COLOURS[finding.state])
    click.echo(f"{mark}  {finding.check:<22}  {finding.said}")
    if finding.remedy:
        click.echo(f"{'':<14}  {'':<22}  -> {finding.remedy}")
