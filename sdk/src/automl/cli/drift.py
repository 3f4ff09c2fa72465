"""`automl drift`: tell whether a later table is like an earlier one, or what a server's monitor found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import click

from automl.cli.command import Command, align, echo_json, json_option
from automl_core.errors import ComponentUnavailable, SettingsError

__all__ = ["drift"]

DRIFTED = 3
BAD = ("drift", "degraded")


@click.command(
    cls=Command,
    examples=[
        "automl drift model.automl new.csv",
        "automl drift old.parquet new.parquet --html drift.html --exit-code",
        "automl drift http://127.0.0.1:8000",
    ],
)
@click.argument("reference")
@click.argument("current", required=False)
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write a page with plots to this FILE.")
@click.option("--level", default=0.01, show_default=True, help="Chance of a false alarm, for all columns together.")
@click.option("--key", help="An API key, for a server that wants one.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {DRIFTED} when there is drift.")
@json_option
@click.pass_context
def drift(
    ctx: click.Context, reference: str, current: str | None, page: str | None, level: float, key: str | None,
    exit_code: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare the table CURRENT with REFERENCE: a saved model's training data, or another table.

    With a server's URL alone, show what its drift monitor knows of the models that it serves.
    """
    if current is None:
        versions = _ask(reference, key)
        if as_json:
            echo_json(versions)
        else:
            _show(versions)
        if exit_code and any(version["status"] in BAD for version in versions):
            ctx.exit(DRIFTED)
        return
    from automl.monitoring.reports import drift_report

    report, html = drift_report(reference, current, level=level)
    if page is not None:
        Path(page).write_text(html, encoding="utf-8")
    if as_json:
        echo_json(report)
    else:
        rows = [(f["name"], f["status"], f"{f['effect']:.3f}", f"{f['impact']:.3f}") for f in report["features"]]
        click.echo(f"{report['status']}: {report['rows']} rows\n")
        click.echo(align(("FEATURE", "VERDICT", "EFFECT", "IMPACT"), rows))
    if exit_code and report["status"] == "drift":
        ctx.exit(DRIFTED)


def _ask(url: str, key: str | None) -> list[dict[str, Any]]:
    if not url.startswith(("http://", "https://")):
        raise click.UsageError(f"name the table to compare {url!r} with, or the URL of a server.")
    request = Request(url.rstrip("/") + "/stats", headers={"X-API-Key": key} if key else {})  # noqa: S310
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310 - the scheme was looked at
            said = json.load(answer)
    except HTTPError as error:
        raise ComponentUnavailable(f"{url} answered {error.code} {error.reason}; give a key with --key.") from error
    except (URLError, TimeoutError, ValueError) as error:
        raise ComponentUnavailable(f"{url} cannot be asked: {error}. Start it with `automl serve`.") from error
    watched: dict[str, Any] = said.get("drift", {})
    if "drift" not in watched:
        raise SettingsError(f"the server at {url} watches no drift: start it with AUTOML_MONITORS=drift.")
    versions: list[dict[str, Any]] = watched["drift"]
    return versions


def _show(versions: list[dict[str, Any]]) -> None:
    if not versions:
        click.echo("no model was asked anything yet")
    for told in versions:
        click.echo(f"{told['model']} {told['version']}: {told['status']}, {told.get('rows', 0)} rows")
        if (scored := told.get("performance")) is not None:
            score = "no labels" if scored["score"] is None else f"{scored['score']:.4f} of {scored['rows']} labels"
            click.echo(f"{scored['metric']}: {score}, held out {scored['baseline']:.4f}")
        if (estimate := told.get("estimate")) is not None:
            low, high = estimate["interval"]
            doubt = f"; not to be trusted: {estimate['doubt']}" if estimate["doubt"] else ""
            metric = next(name for name in ("accuracy", "rmse", "mae") if name in estimate)
            click.echo(f"{metric} without labels: {estimate[metric]:.4f}, {low:.4f} to {high:.4f}{doubt}")
        rows = [(f["name"], f["status"], f"{f['effect']:.3f}", f"{f['impact']:.3f}") for f in told.get("features", ())]
        if rows:
            click.echo(align(("FEATURE", "VERDICT", "EFFECT", "IMPACT"), rows))
        click.echo()
