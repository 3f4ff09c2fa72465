"""`automl fit`: find a model for a table and save it."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from automl.cli.command import Command, echo_json, json_option, writable
from automl.cli.ending import two_stage_interrupt

if TYPE_CHECKING:
    from automl.engine import AutoML
    from automl.model import Model
    from automl.study.leaderboard import Leaderboard

__all__ = ["fit", "search_for_model"]

SHOWN = 10  # rows of the leaderboard


def _words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(word.strip() for word in value.split(",") if word.strip())


@click.command(
    cls=Command,
    examples=[
        "automl fit data.csv --target income",
        "automl fit 'parts/*.parquet' --target price --metric mae --time-limit 600",
        "automl fit train.csv --target y --holdout test.csv --report report.html",
        "automl fit data.csv --target price --target sold --time-limit 600",
        "automl fit few.csv --target y --unlabelled many.csv",
        "automl fit train.csv --target y --learners lightgbm,sklearn --quiet --json",
    ],
)
@click.argument("data", type=click.Path())
@click.option("--target", "targets", required=True, multiple=True, help="The column to predict; repeat it for several.")
@click.option(
    "--time-limit", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
    help="Seconds of wall clock for everything.",
)  # fmt: skip
@click.option("--metric", help="What to optimise, such as roc_auc, log_loss, rmse.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]), help="Found by itself if not named.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same splits and models.")
@click.option(
    "--quality", type=click.Choice(["fast", "balanced", "best"]), default="best", show_default=True,
    help="What a prediction of one row may cost: best a millisecond, balanced 200 microseconds, fast 30 or so.",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(),
    default="model.automl",
    show_default=True,
    callback=writable,
    help="Where to save: a path or a URI.",
)
@click.option("--executor", help="Where trials run, such as threads, processes.")
@click.option("--storage", help="Where the journal is kept: a name, or a URI such as s3://bucket/folder.")
@click.option("--learners", callback=_words, help="Families to fit, separated by commas.")
@click.option("--unlabelled", type=click.Path(), help="More rows, without the target, to learn from if that pays.")
@click.option("--warm-start", type=click.Path(), help="A saved model of the same task, whose members are fitted first.")
@click.option("--holdout", type=click.Path(), help="More data with the target, to score the model on.")
@click.option(
    "--held-out-rows", type=click.IntRange(min=0), default=100_000, show_default=True,
    help="Rows at most of data larger than memory that no model sees, for its score; 0 for none.",
)  # fmt: skip
@click.option("--report", type=click.Path(), callback=writable, help="Write a page about the model to this FILE.")
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
def fit(
    data: str, targets: tuple[str, ...], out: str, holdout: str | None, report: str | None, quiet: bool, as_json: bool,
    executor: str | None, storage: str | None, learners: tuple[str, ...] | None, warm_start: str | None,
    unlabelled: str | None, **options: Any,
) -> None:  # fmt: skip
    """Find the best model for DATA and save it; of several targets one model each, in one file.

    DATA is a path, glob or URI of CSV, Parquet, Arrow IPC or JSON lines.
    """
    from automl.several.model import page_names
    from automl.study.pseudo import tell_unlabelled

    started = time.monotonic()
    target: Any = targets[0] if len(targets) == 1 else list(targets)
    settings = {"executor": executor, "storage": storage, "learners": learners}
    model = search_for_model(
        data, target=target, quiet=quiet, settings=settings, warm_start=warm_start, unlabelled=unlabelled, **options
    )
    model.save(out)
    score = None if holdout is None else model.score(holdout)
    seconds = time.monotonic() - started
    if report is not None:
        model.report(report, data=holdout)
    if as_json:
        echo_json({
            "model": out, "report": report, **_told(model, target, score), "seconds": round(seconds, 3),
            "leaderboard": model.leaderboard().rows,
        })  # fmt: skip
        return
    click.echo(_short(model.leaderboard(), out))
    if getattr(model.model_, "info", {}).get("held_out_rows"):
        click.echo(f"\n{_held_out(model.model_)}")
    for name, one in getattr(model.model_, "models", {"": model.model_}).items():
        if told := one.info.get("unlabelled"):
            click.echo(f"\n{name + ': ' if name else ''}{tell_unlabelled(told, one.metric)}")
    for name, one, value in _scores(model, score):
        click.echo(f"\n{one.metric}{name} on {holdout}: {value:.5f}")
    if report is not None:
        click.echo(
            f"\nwrote {report}" if len(targets) == 1 else f"\nwrote {', '.join(page_names(report, targets).values())}"
        )
    click.echo(f"\nsaved {out} after {seconds:.1f} s; predict with: automl predict {out} DATA")


def _told(model: AutoML, target: Any, score: Any) -> dict[str, Any]:
    """Return what a machine is told of each target."""
    if isinstance(target, str):
        told = {"task": model.model_.task, "target": target, "metric": model.study_.metric, "holdout_score": score}
        info = model.model_.info
        names = (("scores", "fates", "held_out_rows") if "fates" in info else ()) + ("unlabelled",)
        return told | {name: info[name] for name in names if name in info}
    scores = score or {}
    told = {
        name: {"task": one.task, "metric": one.metric, "holdout_score": scores.get(name)}
        for name, one in model.model_.models.items()
    }
    return {"target": target, "targets": told}


def _held_out(model: Model) -> str:
    return f"{model.metric} on {model.info['held_out_rows']:,} rows that no model saw: {model.info['scores']['held_out']:.5f}"


def _scores(model: AutoML, score: Any) -> list[tuple[str, Model, float]]:
    """Return (name for people, model, score on the holdout) of each target that has one."""
    if score is None:
        return []
    if not isinstance(score, dict):
        return [("", model.model_, score)]
    return [(f" of {name}", model.model_.models[name], value) for name, value in score.items()]


def _short(board: Leaderboard, out: str) -> str:
    """Return the first rows, and where the others are."""
    more = len(board) - SHOWN
    top = str(type(board)(board.rows[:SHOWN], board.metric))
    return top if more <= 0 else f"{top}\n... and {more} more: automl leaderboard {out}"


def search_for_model(
    data: Any,
    *,
    target: str | list[str],
    quiet: bool,
    settings: dict[str, Any],
    warm_start: str | None = None,
    unlabelled: str | None = None,
    **options: Any,
) -> AutoML:
    """Fit with progress on stderr; the first Ctrl-C keeps the best model so far."""
    began = time.monotonic()
    from automl import load_model
    from automl.progress import show_progress
    from automl_core.settings import load_settings

    earlier = None if warm_start is None else load_model(warm_start)
    loaded = load_settings(**{name: value for name, value in settings.items() if value is not None})
    with two_stage_interrupt(), nullcontext() if quiet else show_progress(sys.stderr) as listener:
        from automl.engine import AutoML

        listeners = [] if listener is None else [listener]
        automl = AutoML(settings=loaded, listeners=listeners, **options)
        automl.spent = time.monotonic() - began
        automl.fit(data, target=target, unlabelled=unlabelled, warm_start=earlier)
    boards = getattr(automl, "engines_", {"": automl})
    for name in [name for name, one in boards.items() if not any(row["weight"] for row in one.leaderboard())]:
        what = f"the model of {name}" if name else "the model"
        click.echo(f"no fit succeeded: {what} says the same of every row; the leaderboard tells why", err=True)
    return automl
