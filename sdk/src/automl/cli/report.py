"""`automl report`: a page about a saved model."""

from __future__ import annotations

from pathlib import Path

import click

from automl.cli.command import Command, writable

__all__ = ["report"]


@click.command(
    cls=Command,
    examples=[
        "automl report model.automl",
        "automl report model.automl --data test.csv --out report.html",
        "automl report model.automl --data train.csv --group sex --group region",
    ],
)
@click.argument("model", type=click.Path())
@click.option("--data", type=click.Path(), help="Rows with the target: the training table, or rows that were held out.")
@click.option("--group", "groups", multiple=True, help="A column of DATA whose groups to compare; may be repeated.")
@click.option(
    "--out",
    type=click.Path(),
    default="report.html",
    show_default=True,
    callback=writable,
    help="Where to write: a path or a URI.",
)
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
def report(model: str, data: str | None, groups: tuple[str, ...], out: str, allow_pickle: bool) -> None:
    """Write a page about a saved MODEL: scores, what was tried, what it relies on, where it is wrong.

    The page is one file that needs nothing from outside. Without DATA there is neither latency nor dependence nor groups. A
    model of several targets gets a page for each, named by the target: report-TARGET.html.
    """
    from automl import MultiModel, load_model

    loaded = load_model(model, allow_pickle=allow_pickle)
    if isinstance(loaded, MultiModel):
        click.echo("wrote " + ", ".join(loaded.report(out, data=data, groups=groups)))
        return
    loaded.report(out, data=data, groups=groups)
    size = f" ({Path(out).stat().st_size / 1000:,.0f} kB)" if Path(out).is_file() else ""
    click.echo(f"wrote {out}{size}")
