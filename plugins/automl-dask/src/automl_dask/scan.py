"""Scans of Parquet files: Dask places groups of files, Polars computes inside each."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from automl_core import ComponentUnavailable, DataError
from automl_dask.parquet_source import Footer

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from distributed import Client

    Compute = Callable[[pl.LazyFrame], pl.LazyFrame]

__all__ = ["scan"]

GROUPS = 4  # of files for each thread of the cluster: few enough for the scheduler, enough to even out


def scan(
    client: Client,
    footers: Sequence[Footer],
    files: Sequence[str],
    schema: pa.Schema,
    compute: Compute,
    combine: Compute | None,
    options: dict[str, Any],
) -> pa.Table:
    """See `DaskDataLoader.scan_parquet`; `files` are the footers' paths or URIs."""
    pl = import_polars()
    groups = _group(footers, files, GROUPS * max(1, sum(client.nthreads().values())))
    futures = client.map(_scan_group, groups, schema=schema, compute=compute, options=options, pure=False)
    parts = [pl.from_arrow(table) for table in client.gather(futures)]
    whole = pl.concat(parts, how="vertical_relaxed")
    return whole.to_arrow() if combine is None else combine(whole.lazy()).collect().to_arrow()


def import_polars() -> Any:
    try:
        import polars
    except ImportError as error:
        raise ComponentUnavailable("scans need Polars, here and on the workers: pip install polars.") from error
    return polars


def _group(footers: Sequence[Footer], files: Sequence[str], count: int) -> list[list[str]]:
    """Return neighbouring files in about as many groups, of about as many rows each."""
    most = sum(footer.rows for footer in footers) / count
    groups: list[list[str]] = [[]]
    held = 0
    for footer, file in zip(footers, files, strict=True):
        if groups[-1] and held + footer.rows / 2 > most:
            groups.append([])
            held = 0
        groups[-1].append(file)
        held += footer.rows
    return groups


def _scan_group(files: list[str], *, schema: pa.Schema, compute: Compute, options: dict[str, Any]) -> pa.Table:
    from distributed import get_worker

    # Each worker computes with its own share of the machine; Polars looks at this once, when it is loaded.
    os.environ.setdefault("POLARS_MAX_THREADS", str(get_worker().state.nthreads))
    pl = import_polars()
    wanted = pl.from_arrow(schema.empty_table()).schema
    frames = [_conform(pl, _open(pl, file, options), wanted) for file in files]
    try:
        return compute(pl.concat(frames)).collect(engine="streaming").to_arrow()
    except (pl.exceptions.ComputeError, OSError) as error:
        raise DataError(f"a file of {files[0]!r} to {files[-1]!r} cannot be read: {_line(error)}") from error


def _open(pl: Any, file: str, options: dict[str, Any]) -> pl.LazyFrame:
    if file.startswith("file://"):
        return pl.scan_parquet(file.removeprefix("file://"), glob=False)
    from automl_dask.places import open_place

    system, path = open_place(file, options)
    return pl.scan_parquet(system.open(path, "rb"))


def _conform(pl: Any, frame: pl.LazyFrame, wanted: Any) -> pl.LazyFrame:
    own = frame.collect_schema()
    if own == wanted:
        return frame
    columns = [
        pl.lit(None, kind).alias(name) if name not in own
        else pl.col(name) if own[name] == kind else pl.col(name).cast(kind)
        for name, kind in wanted.items()
    ]  # fmt: skip
    return frame.select(columns)


def _line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
