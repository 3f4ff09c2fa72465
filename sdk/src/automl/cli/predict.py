"""`automl predict`: write a model's predictions for a table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from automl.cli.command import Command

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["predict"]

FORMATS = (".csv", ".parquet")


def _known_format(_: click.Context, __: click.Parameter, value: str) -> str:
    if value != "-" and Path(value).suffix.lower() not in FORMATS:
        raise click.BadParameter(f"{value!r} must end in {' or '.join(FORMATS)}, or be - for CSV on stdout.")
    return value


@click.command(
    cls=Command,
    examples=[
        "automl predict model.automl new.csv > predictions.csv",
        "automl predict model.automl new.parquet --proba --out predictions.parquet",
    ],
)
@click.argument("model")
@click.argument("data")
@click.option("--out", default="-", show_default=True, callback=_known_format, help="FILE.csv, FILE.parquet, or -.")
@click.option("--proba", is_flag=True, help="A column of probability per class as well.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
def predict(model: str, data: str, out: str, proba: bool, allow_pickle: bool) -> None:
    """Predict each row of DATA with a saved MODEL."""
    from automl import load_model
    from automl_core.errors import DataError

    loaded = load_model(model, allow_pickle=allow_pickle)
    if proba and loaded.task == "regression":
        raise DataError(f"{model} predicts numbers, which have no probabilities; leave out --proba.")
    # Globs and large files are read once only where both answers are wanted.
    columns: dict[str, NDArray[Any]] = {loaded.target or "prediction": loaded.predict(data)}
    if proba:
        shares = loaded.predict_proba(data)
        columns |= {f"probability_{label}": shares[:, i] for i, label in enumerate(loaded.classes_)}
    if out.lower().endswith(".parquet"):
        _write_parquet(columns, out)
    else:
        _write_csv(columns, out)


def _write_csv(columns: Mapping[str, NDArray[Any]], out: str) -> None:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    if out == "-":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        sys.stdout.flush()
        return
    with Path(out).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_parquet(columns: Mapping[str, NDArray[Any]], out: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    parquet.write_table(table, out)
