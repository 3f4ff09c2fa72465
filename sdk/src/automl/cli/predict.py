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

    from automl.model import Model

__all__ = ["predict"]

FORMATS = (".csv", ".parquet")


def _known_format(_: click.Context, __: click.Parameter, value: str) -> str:
    if value != "-" and Path(value).suffix.lower() not in (*FORMATS, ""):
        raise click.BadParameter(f"{value!r} must end in {' or '.join(FORMATS)}, be a folder, or - for CSV on stdout.")
    return value


@click.command(
    cls=Command,
    examples=[
        "automl predict model.automl new.csv > predictions.csv",
        "automl predict model.automl new.parquet --proba --out predictions.parquet",
        "automl predict s3://bucket/m.automl 's3://bucket/new/*.parquet' --out s3://bucket/predictions.parquet",
        "automl predict model.automl huge-dataset/ --out predictions/ --keep id",
    ],
)
@click.argument("model")
@click.argument("data")
@click.option(
    "--out",
    default="-",
    show_default=True,
    callback=_known_format,
    help="FILE.csv, FILE.parquet, a folder, a URI of any, or -.",
)
@click.option("--proba", is_flag=True, help="A column of probability per class as well.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of DATA to write, too; into a folder only.")
@click.option(
    "--bad-files", type=click.Choice(["error", "skip"]), default="error", help="Of damaged files; into a folder only."
)
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
def predict(
    model: str, data: str, out: str, proba: bool, keep: tuple[str, ...], bad_files: str, allow_pickle: bool
) -> None:
    """Predict each row of DATA with a saved MODEL; each is a path or a URI.

    Into a folder, DATA of any size is predicted in parts on the executor in the settings, and a run that was killed goes on
    when it is called again.

    A model of several targets writes a column for each; with --proba those of TARGET are called probability_TARGET_CLASS.
    """
    from automl import load_model
    from automl.places import is_in_cloud
    from automl.several.model import MultiModel, open_once
    from automl_core.errors import DataError

    loaded = load_model(model, allow_pickle=allow_pickle)
    models: dict[str, Model] = loaded.models if isinstance(loaded, MultiModel) else {"": loaded}
    if proba and all(one.task == "regression" for one in models.values()):
        raise DataError(f"{model} predicts numbers, which have no probabilities; leave out --proba.")
    if out != "-" and not out.lower().endswith(FORMATS):
        if len(models) > 1:
            raise DataError("predictions of several targets go into a file: --out predictions.parquet")
        _predict_parts(next(iter(models.values())), data, out, proba=proba, keep=keep, bad_files=bad_files)
        return
    if keep or bad_files != "error":
        raise DataError("--keep and --bad-files go with a folder: --out predictions/")
    rows: Any = data
    if is_in_cloud(data):  # fetched once, where several answers are wanted
        from automl.table import open_table

        rows = open_table(data)
    elif len(models) > 1:
        rows = open_once(data)
    columns: dict[str, NDArray[Any]] = {one.target or "prediction": one.predict(rows) for one in models.values()}
    for name, one in models.items() if proba else ():
        if one.task != "regression":
            shares, part = one.predict_proba(rows), f"{name}_" if name else ""
            columns |= {f"probability_{part}{label}": shares[:, i] for i, label in enumerate(one.classes_)}
    if out.lower().endswith(".parquet"):
        _write_parquet(columns, out)
    else:
        _write_csv(columns, out)


def _predict_parts(model: Model, data: str, out: str, **options: Any) -> None:
    from automl.large.predict import predict_files

    done = predict_files(model, data, out, **options)
    resumed = f", {done.resumed} of {done.parts} parts by an earlier run" if done.resumed else ""
    click.echo(f"{done.rows} rows of {done.files} files into {out}{resumed}", err=True)
    for said in done.bad_files:
        click.echo(f"left out: {said}", err=True)


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
