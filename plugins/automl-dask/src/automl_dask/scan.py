"""Scans of Parquet files: Dask places groups of files, Polars computes inside each."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cloudpickle

from automl_core import ComponentUnavailable, DataError
from automl_dask.parquet_source import Footer, unify

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa
    from distributed import Client

    Compute = Callable[[pl.LazyFrame], pl.LazyFrame]

__all__ = ["Scan", "import_polars"]

GROUPS = 4  # of files for each thread of the cluster: few enough for the scheduler, enough to even out
LOCAL = "file://"


@dataclass(frozen=True, slots=True)
class Scan:
    """One question to Parquet files; see `DaskDataLoader.scan_parquet` for `compute` and `combine`.

    Attributes:
        options: for fsspec.
    """

    client: Client
    compute: Compute
    combine: Compute | None
    options: Mapping[str, Any]

    def of_equal(self, files: Sequence[str], schema: pa.Schema, columns: Sequence[str] | None) -> pa.Table:
        """Scan paths or URIs of files that all have the same schema; no other footer is read before workers begin.

        Raises:
            DataError: a file cannot be read, as far as that was noticed.
            polars.exceptions.PolarsError: the files differ in what `compute` asks for, or it asks for what is not there.
        """
        size = max(1, -(-len(files) // self._groups))
        groups = [files[start : start + size] for start in range(0, len(files), size)]
        return self._gather(_scan_equal, groups, schema, columns=columns)

    def of_any(self, footers: Sequence[Footer], files: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
        """Scan paths or URIs of files by their footers, each file brought to the schema of all.

        Raises:
            DataError: a file cannot be read, or their columns do not fit together.
        """
        return self._gather(_scan_any, _group(footers, files, self._groups), unify(footers, columns))

    @property
    def _groups(self) -> int:
        return GROUPS * max(1, sum(int(threads) for threads in self.client.nthreads().values()))

    def _gather(self, fn: Any, groups: Sequence[Sequence[str]], schema: pa.Schema, **told: Any) -> pa.Table:
        pl, compute = import_polars(), cloudpickle.dumps(self.compute, protocol=5)
        told |= {"schema": schema, "compute": compute, "options": self.options}
        futures = self.client.map(fn, groups, **told, pure=False)
        parts = [pl.from_arrow(table) for table in self.client.gather(futures)]
        whole = pl.concat(parts, how="vertical_relaxed")
        return whole.to_arrow() if self.combine is None else self.combine(whole.lazy()).collect().to_arrow()


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


def _scan_equal(
    files: Sequence[str],
    *,
    schema: pa.Schema,
    columns: Sequence[str] | None,
    compute: bytes,
    options: Mapping[str, Any],
) -> pa.Table:
    pl, wanted = _prepare(schema)
    if all(file.startswith(LOCAL) for file in files):
        # In one scan Polars reads ahead from file to file; where one differs from the schema, it raises.
        paths = [file.removeprefix(LOCAL) for file in files]
        rows = pl.scan_parquet(paths, schema=wanted, glob=False, hive_partitioning=False)
    else:
        frames = [_open(pl, file, options) for file in files]
        if any(frame.collect_schema() != wanted for frame in frames):
            raise pl.exceptions.SchemaError("the files differ in their columns")
        rows = pl.concat(frames)
    return _compute(pl, files, rows if columns is None else rows.select(columns), compute)


def _scan_any(files: Sequence[str], *, schema: pa.Schema, compute: bytes, options: Mapping[str, Any]) -> pa.Table:
    pl, wanted = _prepare(schema)
    return _compute(pl, files, pl.concat([_conform(pl, _open(pl, file, options), wanted) for file in files]), compute)


def _prepare(schema: pa.Schema) -> tuple[Any, Any]:
    """Return Polars, and the schema in its words."""
    from distributed import get_worker

    # Each worker computes with its own share of the machine; Polars looks at this once, when it is loaded.
    os.environ.setdefault("POLARS_MAX_THREADS", str(get_worker().state.nthreads))
    pl = import_polars()
    return pl, pl.from_arrow(schema.empty_table()).schema


def _compute(pl: Any, files: Sequence[str], rows: pl.LazyFrame, compute: bytes) -> pa.Table:
    try:
        # Unpickled here, as what a function refers to may load Polars.
        return pickle.loads(compute)(rows).collect(engine="streaming").to_arrow()  # noqa: S301 - from our own driver
    except (pl.exceptions.ComputeError, OSError) as error:
        raise DataError(f"a file of {files[0]!r} to {files[-1]!r} cannot be read: {_line(error)}") from error


def _open(pl: Any, file: str, options: Mapping[str, Any]) -> pl.LazyFrame:
    if file.startswith(LOCAL):
        return pl.scan_parquet(file.removeprefix(LOCAL), glob=False, hive_partitioning=False)
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
