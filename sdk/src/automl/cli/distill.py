"""`automl distill`: fit a small, fast student of a saved model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import click

from automl.cli.command import Command, align, echo_json, json_option, writable
from automl.cli.ending import two_stage_interrupt

__all__ = ["distill"]


@click.command(
    cls=Command,
    examples=[
        "automl distill model.automl train.csv --out small.automl --holdout test.csv",
        "automl distill model.automl train.csv --unlabelled 'calls/*.parquet' --predict-time-limit 15",
    ],
)
@click.argument("model", type=click.Path())
@click.argument("data", type=click.Path())
@click.option(
    "--out", type=click.Path(), default="small.automl", show_default=True, callback=writable,
    help="Where to save the student: a path or a URI.",
)  # fmt: skip
@click.option("--unlabelled", type=click.Path(), help="More rows of the same columns, whose target is not known.")
@click.option("--holdout", type=click.Path(), help="Rows with the target that neither has seen, to score both on.")
@click.option(
    "--predict-time-limit", type=click.FloatRange(min=0, min_open=True), default=20.0, show_default=True,
    help="Microseconds that predicting one row may cost, by estimate.",
)  # fmt: skip
@click.option(
    "--time-limit", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
    help="Seconds of wall clock for the fit.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same splits and models.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def distill(model: str, data: str, out: str, allow_pickle: bool, quiet: bool, as_json: bool, **options: Any) -> None:
    """Fit a small, fast student of a saved MODEL on DATA, rows with the target, and save it.

    DATA is best what the model was fitted on. The student learns what the model says of these rows, of mixed ones,
    and of unlabelled ones.
    """
    from automl import load_model
    from automl.distill import distill as fit_student
    from automl.progress import show_progress

    teacher = load_model(model, allow_pickle=allow_pickle)
    with two_stage_interrupt(), nullcontext() if quiet else show_progress(sys.stderr) as listener:
        student = fit_student(teacher, data, listeners=[] if listener is None else [listener], **options)
    student.save(out)
    told = student.model_.info["distilled"]
    if as_json:
        echo_json({"model": out, "target": student.model_.target, **told})
        return
    score = f"{told['metric']} of {told['rows']} rows" if told["rows"] else f"{told['metric']}"
    rows = [(name, *_cells(told[name])) for name in ("teacher", "student")]
    click.echo(align(("", score, "µs a row", "MB", "trees"), rows))
    if not told["rows"]:
        click.echo("\nhow good they are, rows that neither has seen can tell: --holdout DATA")
    click.echo(f"\nsaved {out}; predict with: automl predict {out} DATA")


def _cells(told: Mapping[str, Any]) -> tuple[str, ...]:
    score = f"{told['score']:.5f}" if "score" in told else "?"
    return score, f"{told['microseconds']:.0f}", f"{told['bytes'] / 1e6:.2f}", f"{told['trees']:,}"
