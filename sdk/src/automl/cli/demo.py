"""`automl demo`: the main job on a real data set that ships with the sdk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.command import Command
from automl.cli.fit import search_for_model

if TYPE_CHECKING:
    import pyarrow as pa

    from automl.engine import AutoML

__all__ = ["demo"]

TARGET = "y"
HOLDOUT_SHARE = 0.25


@click.command(
    cls=Command,
    examples=[
        "automl demo",
        "automl demo --time-limit 10",
    ],
)
@click.option(
    "--time-limit", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
    help="Seconds of wall clock for the fit.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split and of the fit.")
@click.option("--quiet", is_flag=True, help="No progress.")
def demo(time_limit: float, seed: int, quiet: bool) -> None:
    """Fit a real data set and show what came of it.

    The data are UCI Bank Marketing: which of 4,521 clients of a bank take a deposit after a telephone call.
    A quarter of the rows is held out; the model is kept in the folder that the setting `directory` names.
    """
    from automl_core.settings import load_settings

    train, held_out = _split(seed)
    click.echo(f"UCI Bank Marketing (Moro, Cortez, Rita 2014): {len(train)} rows to fit, {len(held_out)} held out")
    automl = search_for_model(train, target=TARGET, quiet=quiet, settings={}, time_limit=time_limit, seed=seed)
    path = Path(load_settings().directory) / "demo.automl"
    path.parent.mkdir(parents=True, exist_ok=True)
    automl.save(path)
    click.echo(f"\n{automl.leaderboard()}")
    click.echo(f"\n{automl.study_.metric} on the held-out rows: {automl.score(held_out):.5f}")
    _show_prediction(automl, held_out)
    _show_next(path)


def data_path() -> Path:
    """Return where the demo's CSV file lies."""
    from importlib.resources import files

    return Path(str(files("automl.demo") / "bank_marketing.csv"))


def _split(seed: int) -> tuple[pa.Table, pa.Table]:
    import numpy as np

    from automl.table import open_table

    table = open_table(data_path())
    order = np.random.default_rng(seed).permutation(len(table))
    cut = round(HOLDOUT_SHARE * len(table))
    return table.take(order[cut:]), table.take(order[:cut])


def _show_prediction(automl: AutoML, held_out: pa.Table) -> None:
    row = held_out.slice(0, 1).to_pylist()[0]
    truth = row.pop(TARGET)
    answer, shares = automl.predict(row)[0], automl.predict_proba(row)[0]
    chances = ", ".join(f"{label} {share:.1%}" for label, share in zip(automl.classes_, shares, strict=True))
    click.echo("\nOne prediction")
    click.echo("  row:        " + ", ".join(f"{name}={value}" for name, value in row.items()))
    click.echo(f"  prediction: {answer} ({chances}); the truth is {truth}")


def _show_next(path: Path) -> None:
    click.echo(f"\nThe model is in {path}. What to try next:")
    click.echo(f"  automl report {path}")
    click.echo(f"  automl inspect {path}")
    click.echo(f"  automl predict {path} {data_path()} --proba")
    click.echo("  automl fit YOUR.csv --target COLUMN --time-limit 300 --report report.html")
    click.echo("  automl plugins")
