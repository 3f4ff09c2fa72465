"""Tables on a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import dask.dataframe as dd
import numpy as np
import psutil
from dask.utils import format_bytes, parse_bytes

from automl_core import DataError, did_you_mean
from automl_dask.cluster import Cluster
from automl_dask.csv_source import arrow_types
from automl_dask.parquet_source import SUFFIXES, conform, read_footers, unify
from automl_dask.places import expand
from automl_dask.scan import Scan, import_polars

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from distributed import Client
    from numpy.typing import NDArray

    from automl_dask.scan import Compute

__all__ = ["DaskDataLoader"]

FREE_SHARE = 0.5  # of the free memory, that arrays may take unless told otherwise: joining them needs as much once more
PROBED = 8  # partitions that tell how large all are
log = logging.getLogger("automl.dask")


class DaskDataLoader:
    """Opens data sets as Dask data frames on a cluster; a context manager.

    Args:
        scheduler_address: such as "host:8786"; None starts workers on this machine.
        n_workers: how many to start, or to wait for at an address; fewer are told in the log.
        threads_per_worker, memory_limit: of workers started here.
        timeout: seconds to wait for the cluster.
        storage_options: for fsspec, where paths are URIs.

    Attributes:
        client: Dask's own; it is the default of this process, so that `.compute()` runs on the cluster.

    Raises:
        ComponentUnavailable: no scheduler answers at the address, or it has no worker.
    """

    def __init__(
        self,
        scheduler_address: str | None = None,
        n_workers: int | None = None,
        *,
        threads_per_worker: int | None = None,
        memory_limit: str | int | None = None,
        timeout: float = 60.0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._cluster = Cluster(
            scheduler_address, workers=n_workers, threads_per_worker=threads_per_worker, memory_limit=memory_limit,
            timeout=timeout,
        )  # fmt: skip
        self._options = dict(storage_options or {})

    @property
    def client(self) -> Client:
        return self._cluster.client

    def load_parquet(
        self,
        path: Any,
        *,
        columns: Sequence[str] | None = None,
        bad_files: str = "error",
        **options: Any,
    ) -> dd.DataFrame:
        """Open Parquet files by path, glob, folder or URI.

        The footers of all files are read at once. Where files differ in their columns, a column that a file lacks is
        missing there, and one of several types takes the type that all fit in.

        Args:
            bad_files: "error", or "skip" to leave out files that are no Parquet files, as truncated ones.
            options: of `dask.dataframe.read_parquet`, such as `filters`; where files differ there are none.

        Raises:
            DataError: there is no such file, one is bad, or their columns do not fit together.
        """
        system, found = expand(path, SUFFIXES, self._options)
        footers, _ = read_footers(system, found, bad_files=bad_files)
        schema = unify(footers, columns)
        files = [system.unstrip_protocol(footer.path) for footer in footers]
        wanted = list(columns) if columns is not None else None
        if all(footer.schema.equals(footers[0].schema) for footer in footers):
            return dd.read_parquet(files, columns=wanted, storage_options=self._options or None, **options)
        if options:
            raise DataError(f"the files differ in their columns, so {', '.join(map(repr, options))} cannot be used.")
        log.warning("the %d files differ in their columns: each is read as %s", len(files), schema.to_string())
        meta = schema.empty_table().to_pandas()
        return dd.from_map(_read_as, files, schema=schema, storage_options=self._options, meta=meta)

    def scan_parquet(
        self,
        path: Any,
        compute: Compute,
        *,
        combine: Compute | None = None,
        columns: Sequence[str] | None = None,
        bad_files: str = "error",
    ) -> pa.Table:
        """Filter, derive and aggregate Parquet files with Polars on the workers, several times faster than data frames are.

        Each worker reads what `compute` asks for of a few files at a time; only what that returns comes back, group after
        group in the order of the files. Files on object stores are fetched whole. Files of one schema are opened by the
        workers alone; where they differ in what is asked for, all their footers are read first, and the scan begins again.

        Args:
            compute: takes a `polars.LazyFrame` of some of the rows and returns one.
            combine: takes what came back of all rows and returns the result; None returns it as it is.
            columns, bad_files: as for `load_parquet`.

        Raises:
            DataError: there is no such file, one is bad, or their columns do not fit together.
            ComponentUnavailable: Polars is not installed.
        """
        pl = import_polars()
        system, found = expand(path, SUFFIXES, self._options)
        scan = Scan(self.client, compute, combine, self._options)
        try:
            (first, *_), _ = read_footers(system, found[:1])
            return scan.of_equal([system.unstrip_protocol(one) for one in found], first.schema, columns)
        except (DataError, pl.exceptions.PolarsError) as error:
            # Only all footers tell which file is bad, and what files that differ have in common.
            log.debug("files are looked at one by one: %s", error)
        footers, _ = read_footers(system, found, bad_files=bad_files)
        return scan.of_any(footers, [system.unstrip_protocol(footer.path) for footer in footers], columns)

    def load_csv(
        self, path: Any, *, dtypes: Mapping[str, Any] | None = None, blocksize: str | int | None = "64MB",
        **options: Any,
    ) -> dd.DataFrame:  # fmt: skip
        """Open CSV files by path, glob, folder or URI, in blocks that are read in parallel.

        Args:
            dtypes: types by column; others are found in the first rows of the first file.
            options: of `dask.dataframe.read_csv`.

        Raises:
            DataError: there is no such file.
        """
        system, found = expand(path, (".csv", ".csv.gz"), self._options)
        files = [system.unstrip_protocol(one) for one in found]
        if dtypes:
            options["dtype"] = {name: kind.to_pandas_dtype() if str(kind) != "string" else "str"
                                for name, kind in arrow_types(dtypes).items()}  # fmt: skip
        if any(name.endswith(".gz") for name in files):
            blocksize = None  # compressed text cannot be cut
        return dd.read_csv(files, blocksize=blocksize, storage_options=self._options or None, **options)

    def sample(self, ddf: dd.DataFrame, frac: float, *, seed: int = 0) -> pd.DataFrame:
        """Return a random share of the rows, in memory.

        Raises:
            DataError: the share is not between 0 and 1, or would not fit in memory.
        """
        if not 0 < frac <= 1:
            raise DataError(f"frac is {frac}; it must be greater than 0 and at most 1.")
        drawn = ddf.sample(frac=frac, random_state=seed)
        self._check_size(drawn, "the sample", None, "Draw a smaller share.")
        return self.client.compute(drawn).result()

    def to_sklearn_arrays(
        self, ddf: dd.DataFrame, target_col: str, *, memory_limit: str | int | None = None, force: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return X, float64 of shape (rows, columns), and y of shape (rows,), in the order of the rows.

        Args:
            memory_limit: what X and y may take, in bytes or such as "4GB"; None allows half of the free memory.
            force: go on although they look larger than that.

        Raises:
            DataError: they would not fit, a column is not of numbers, or there is no such target.
        """
        if target_col not in ddf.columns:
            raise DataError(f"there is no column {target_col!r}.{did_you_mean(target_col, list(ddf.columns))}")
        inputs = ddf.drop(columns=[target_col])
        odd = [str(name) for name, kind in inputs.dtypes.items() if kind.kind not in "biuf"]
        if odd:
            raise DataError(
                f"column{'s' * (len(odd) > 1)} {', '.join(map(repr, odd[:10]))}: not of numbers, so no arrays for scikit-learn. "
                "Drop or encode them first; AutoML().fit takes them as they are."
            )
        if not force:
            limit = None if memory_limit is None else parse_bytes(memory_limit)
            self._check_size(
                ddf, "the arrays", limit, "Take a sample, name fewer columns, or pass force=True.", arrays=True
            )
        # An array of pieces, of which the client takes none for what it is.
        pieces = inputs.map_partitions(_to_float).to_delayed().ravel().tolist()
        parts = self.client.gather(self.client.compute(pieces))
        target = self.client.compute(ddf[target_col]).result()
        return np.concatenate(parts), target.to_numpy()

    def _check_size(
        self, ddf: dd.DataFrame, what: str, limit: int | None, advice: str, *, arrays: bool = False
    ) -> None:
        count = ddf.npartitions
        probed = sorted(
            {round(place * (count - 1) / max(1, min(PROBED, count) - 1)) for place in range(min(PROBED, count))}
        )
        sizes = [ddf.partitions[number].map_partitions(_size, arrays, meta=("size", "int64")) for number in probed]
        found = [int(size.iloc[0]) for size in self.client.gather(self.client.compute(sizes))]
        needed = int(np.mean(found) * count)
        allowed = int(FREE_SHARE * psutil.virtual_memory().available) if limit is None else limit
        if needed > allowed:
            raise DataError(
                f"{what} would take about {format_bytes(needed)}, by {len(probed)} of {count} partitions; "
                f"{format_bytes(allowed)} are allowed. {advice}"
            )

    def close(self) -> None:
        """Disconnect, and end the workers that were started here; may be called twice."""
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _size(part: pd.DataFrame, arrays: bool) -> pd.Series[int]:
    import pandas as pd

    size = part.shape[0] * part.shape[1] * 8 if arrays else int(part.memory_usage(deep=True).sum())
    return pd.Series([size], name="size", dtype="int64")


def _to_float(part: pd.DataFrame) -> NDArray[np.float64]:
    values: NDArray[np.float64] = part.to_numpy(dtype=np.float64)
    return values


def _read_as(path: str, schema: Any, storage_options: Mapping[str, Any]) -> pd.DataFrame:
    from pyarrow import parquet

    from automl_dask.places import open_place

    system, place = open_place(path, storage_options)
    with system.open(place, "rb") as raw, parquet.ParquetFile(raw) as file:
        columns = [name for name in schema.names if name in file.schema_arrow.names]
        return conform(file.read(columns=columns), schema).to_pandas()
