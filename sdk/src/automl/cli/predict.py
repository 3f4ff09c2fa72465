"""`automl predict`: write a model's predictions for a table."""

from __future__ import annotations

import csv
import io
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
        "automl predict s3://bucket/m.automl 's3://bucket/new/*.parquet' --out s3://bucket/predictions.parquet",
    ],
)
@click.argument("model")
@click.argument("data")
@click.option(
    "--out",
    default="-",
    show_default=True,
    callback=_known_format,
    help="FILE.csv, FILE.parquet, a URI of either, or -.",
)
@click.option("--proba", is_flag=True, help="A column of probability per class as well.")
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
def predict(model: str, data: str, out: str, proba: bool, allow_pickle: bool) -> None:
    """Predict each row of DATA with a saved MODEL; each is a path or a URI."""
    from automl import load_model
    from automl.places import is_in_cloud
    from automl_core.errors import DataError

    loaded = load_model(model, allow_pickle=allow_pickle)
    if proba and loaded.task == "regression":
        raise DataError(f"{model} predicts numbers, which have no probabilities; leave out --proba.")
    rows: Any = data
    if is_in_cloud(data):  # fetched once, where both answers are wanted
        from automl.table import open_table

        rows = open_table(data)
    columns: dict[str, NDArray[Any]] = {loaded.target or "prediction": loaded.predict(rows)}
    if proba:
        shares = loaded.predict_proba(rows)
        columns |= {f"probability_{label}": shares[:, i] for i, label in enumerate(loaded.classes_)}
    if out.lower().endswith(".parquet"):
        _write_parquet(columns, out)
    else:
        _write_csv(columns, out)


def _write_csv(columns: Mapping[str, NDArray[Any]], out: str) -> None:
    from automl.artifact.place import write_bytes

    file = sys.stdout if out == "-" else io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    if isinstance(file, io.StringIO):
        write_bytes(out, file.getvalue().encode())
    else:
        file.flush()


def _write_parquet(columns: Mapping[str, NDArray[Any]], out: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from automl.artifact.place import write_bytes

    table = pa.table({name: pa.array(values.tolist()) for name, values in columns.items()})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    write_bytes(out, sink.getvalue().to_pybytes())
