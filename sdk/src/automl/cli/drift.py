"""`automl drift`: tell whether a later table is like an earlier one."""

from __future__ import annotations

from pathlib import Path

import click

from automl.cli.command import Command, align, echo_json, json_option

__all__ = ["drift"]

DRIFTED = 3


@click.command(
    cls=Command,
    examples=[
        "automl drift model.automl new.csv",
        "automl drift old.parquet new.parquet --html drift.html --exit-code",
    ],
)
@click.argument("reference")
@click.argument("current")
@click.option("--html", "page", type=click.Path(dir_okay=False), help="Write a page with plots to this FILE.")
@click.option("--level", default=0.01, show_default=True, help="Chance of a false alarm, for all columns together.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {DRIFTED} when there is drift.")
@json_option
@click.pass_context
def drift(
    ctx: click.Context, reference: str, current: str, page: str | None, level: float, exit_code: bool, as_json: bool
) -> None:
    """Compare the table CURRENT with REFERENCE: a saved model's training data, or another table."""
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
