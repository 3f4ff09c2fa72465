"""Trials as Dask tasks, and scans: `pytest -s tests/benchmarks/bench_dask.py`.

The size of the data set is $AUTOML_BENCH_MB of numbers, 200 by default.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import dataset, parquet

from automl_dask.cluster import Cluster
from automl_dask.executor import DaskExecutor
from automl_dask.loader import DaskDataLoader

pytestmark = pytest.mark.benchmark
MEGABYTES = int(os.environ.get("AUTOML_BENCH_MB", "200"))
ROWS = 250_000
COLUMNS = ("column", "a", "b")


@pytest.fixture(scope="module")
def loader() -> Iterator[DaskDataLoader]:
    with DaskDataLoader(n_workers=2, threads_per_worker=1, timeout=150) as loader:
        yield loader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    rng = np.random.default_rng(0)
    for number in range(max(2, MEGABYTES * 1_000_000 // (ROWS * 64))):
        columns = {name: rng.normal(size=ROWS) for name in (*COLUMNS, "c", "d", "e", "f", "g")}
        parquet.write_table(pa.table(columns), folder / f"{number:04d}.parquet")
    return folder


def test_tasks_a_second_beside_bare_dask(loader: DaskDataLoader) -> None:
    count, client = 300, loader.client
    started = time.perf_counter()
    client.gather(client.map(abs, range(count), pure=False))
    bare = time.perf_counter() - started
    executor = DaskExecutor(Cluster(str(client.scheduler.address), as_default=False))
    started = time.perf_counter()
    for future in [executor.submit(abs, number) for number in range(count)]:
        future.result()
    ours = time.perf_counter() - started
    print(
        f"\n{count / ours:.0f} tasks/s one by one on 2 threads, client.map {count / bare:.0f}: ratio {ours / bare:.1f}",
        end="",
    )
    executor.close()


def test_scan_of_example_2(loader: DaskDataLoader, folder: Path) -> None:
    files = f"{folder}/*.parquet"

    def by_dask() -> float:
        ddf = loader.load_parquet(files, columns=list(COLUMNS))
        ddf = ddf[ddf["column"] > 0]
        return float((ddf["a"] * ddf["b"]).sum().compute())

    def by_arrow() -> float:
        table = dataset.dataset(str(folder)).to_table(columns=list(COLUMNS), filter=pc.field("column") > 0)
        return float(pc.sum(pc.multiply(table["a"], table["b"])).as_py())

    duckdb = pytest.importorskip("duckdb")

    def by_duckdb() -> float:
        query = f"select sum(a * b) from '{files}' where \"column\" > 0"
        return float(duckdb.sql(query).fetchone()[0])

    def by_polars() -> float:
        lazy = pl.scan_parquet(files).filter(pl.col("column") > 0).select((pl.col("a") * pl.col("b")).sum())
        return float(lazy.collect(engine="streaming").item())

    ways: dict[str, Callable[[], float]] = {
        "dask": by_dask,
        "pyarrow": by_arrow,
        "duckdb": by_duckdb,
        "polars": by_polars,
    }
    size = sum(path.stat().st_size for path in folder.iterdir()) * len(COLUMNS) / 8 / 1e6
    taken: dict[str, list[float]] = {way: [] for way in ways}
    results = set()
    for _ in range(3):
        for way, run in ways.items():
            started = time.perf_counter()
            results.add(round(run(), 3))
            taken[way].append(time.perf_counter() - started)
    speed = {way: size / statistics.median(times) for way, times in taken.items()}
    told = ", ".join(f"{way} {one:.0f} MB/s ({one / speed['duckdb']:.2f} of duckdb)" for way, one in speed.items())
    print(f"\nfilter, derive, aggregate over {size:.0f} MB of the columns used: {told}", end="")
    assert len(results) == 1
