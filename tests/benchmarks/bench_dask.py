"""Trials as Dask tasks, and scans: `pytest -s tests/benchmarks/bench_dask.py`.

The size of the data set is $AUTOML_BENCH_MB of numbers, 200 by default.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

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


def race(what: str, size: float, ways: Mapping[str, Callable[[], float]]) -> None:
    """Run every way three times in turn, and print its median rate; all must give the same number."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    results = set()
    for _ in range(3):
        for way, run in ways.items():
            started = time.perf_counter()
            results.add(round(run(), 3))
            taken[way].append(time.perf_counter() - started)
    speed = {way: size / statistics.median(times) for way, times in taken.items()}
    best = max(speed.values())
    told = ", ".join(f"{way} {one:.0f} MB/s ({one / best:.2f} of the fastest)" for way, one in speed.items())
    print(f"\n{what}: {told}", end="")
    assert len(results) == 1


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


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

    def by_scan() -> float:
        derived = (pl.col("a") * pl.col("b")).sum()
        found = loader.scan_parquet(
            files, lambda rows: rows.filter(pl.col("column") > 0).select(derived), combine=lambda parts: parts.sum()
        )
        return float(found["a"][0].as_py())

    def by_arrow() -> float:
        table = dataset.dataset(str(folder)).to_table(columns=list(COLUMNS), filter=pc.field("column") > 0)
        return float(pc.sum(pc.multiply(table["a"], table["b"])).as_py())

    duckdb = pytest.importorskip("duckdb")

    def by_duckdb() -> float:
        query = f"select sum(a * b) from '{files}' where \"column\" > 0"
        return float(duckdb.sql(query).fetchall()[0][0])

    def by_polars() -> float:
        lazy = pl.scan_parquet(files).filter(pl.col("column") > 0).select((pl.col("a") * pl.col("b")).sum())
        return float(lazy.collect(engine="streaming").item())

    size = megabytes(folder) * len(COLUMNS) / 8
    race(
        f"filter, derive, aggregate over {size:.0f} MB of the columns used",
        size,
        {"scan_parquet": by_scan, "dask": by_dask, "pyarrow": by_arrow, "duckdb": by_duckdb, "polars": by_polars},
    )


def test_scan_on_one_worker_and_on_two(folder: Path) -> None:
    size = megabytes(folder) * len(COLUMNS) / 8
    derived = (pl.col("a") * pl.col("b")).sum()
    speed = {}
    for workers in (1, 2):
        with DaskDataLoader(n_workers=workers, threads_per_worker=1, timeout=150) as loader:
            taken = []
            for _ in range(4):  # the first loads Polars
                started = time.perf_counter()
                loader.scan_parquet(
                    f"{folder}/*.parquet", lambda rows: rows.filter(pl.col("column") > 0).select(derived)
                )
                taken.append(time.perf_counter() - started)
            speed[workers] = size / statistics.median(taken[1:])
    told = ", ".join(f"{workers}: {one:.0f} MB/s" for workers, one in speed.items())
    print(f"\nscan by workers of one thread, {told}: {speed[2] / speed[1]:.2f} times", end="")


@pytest.fixture(scope="module")
def towns(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files with a category and a target."""
    towns = tmp_path_factory.mktemp("towns")
    names = np.char.add("town", np.random.default_rng(1).integers(0, 300, ROWS).astype(str))
    for path in folder.iterdir():
        table = parquet.read_table(path).append_column("town", pa.array(names))
        parquet.write_table(table.append_column("y", pc.greater(table["a"], 0)), towns / path.name)
    return towns


def make_encoder(folder: Path) -> tuple[Any, Any, list[str]]:
    """Return the encoder of a folder, its batches as each pass gets them once that is known, and the towns."""
    from automl.large.batches import open_batches
    from automl.large.survey import take_survey
    from automl.prepare import prepare

    batches = open_batches(folder, limit=1 << 30, always=True)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0)
    given = {"sample_weight": None, "groups": None, "time": None}
    encoder = prepare(
        survey.sample.slice(0, 50_000), None, target="y", task=None, given=given, seed=0, levels=survey.levels,
        rows=survey.rows, monotone={},
    ).encoder  # fmt: skip
    return encoder, batches.coded(encoder.categories), sorted(survey.levels["town"])


def test_encoding_pass(towns: Path) -> None:
    """All columns, of which one is a category, to float32 vectors, in batches."""
    duckdb = pytest.importorskip("duckdb")
    encoder, batches, levels = make_encoder(towns)

    def ours() -> int:
        return sum(len(encoder.encode(table)) for table in batches)

    def by_polars() -> int:
        numbers = pl.col(pl.Float64).cast(pl.Float32)
        codes = pl.col("town").cast(pl.Enum(levels)).to_physical().cast(pl.Float32)
        paths = sorted(towns.iterdir())  # file by file, as one array of all would be no pass
        frames = (pl.scan_parquet(path).select(numbers, codes).collect(engine="streaming") for path in paths)
        return sum(len(frame.to_numpy(order="c")) for frame in frames)  # row after row, as from all others

    def by_arrow() -> int:
        known, rows = pa.array(levels), 0
        for batch in dataset.dataset(str(towns)).to_batches(batch_size=1 << 17):
            columns = [column.cast(pa.float32()) for column in batch.columns if column.type == pa.float64()]
            codes = pc.index_in(batch["town"], known).cast(pa.float32())
            rows += len(np.stack([column.to_numpy() for column in [*columns, codes]], axis=1))
        return rows

    def by_duckdb() -> int:
        values = ", ".join(f"{name}::float as {name}" for name in ('"column"', "a", "b", "c", "d", "e", "f", "g"))
        connection = duckdb.connect()
        told = ", ".join(f"'{level}'" for level in levels)
        connection.execute(f"create type enum_of_towns as enum ({told})")
        found = connection.sql(f"select {values}, town::enum_of_towns from '{towns}/*.parquet'")
        return sum(batch.num_rows for batch in found.to_arrow_reader(1 << 17))

    race(
        f"encoding {megabytes(towns):.0f} MB of 8 numbers and a category",
        megabytes(towns),
        {"ours": ours, "polars": by_polars, "pyarrow": by_arrow, "duckdb, to Arrow only": by_duckdb},
    )


def test_waiting_tasks_on_a_simulated_cluster() -> None:
    """All workers are in this process, where a hundred that watch its memory, load and stacks would do nothing else."""
    import dask
    from distributed import Client, LocalCluster

    print()
    quiet = {"distributed.admin.system-monitor.interval": "60s", "distributed.worker.profile.enabled": False}
    options: dict[str, Any] = {"processes": False, "dashboard_address": None, "memory_limit": 0}
    for count in (1, 2, 10, 100):
        with (
            dask.config.set(quiet),
            LocalCluster(n_workers=count, threads_per_worker=1, **options) as cluster,
            Client(cluster) as client,
        ):
            client.gather(client.map(time.sleep, [0.01] * count, pure=False))
            started = time.perf_counter()
            client.gather(client.map(time.sleep, [0.5] * 8 * count, pure=False))
            taken = time.perf_counter() - started
        print(f"{count} workers, 8 tasks of 0.5 s each: {taken:.2f} s, {4 / taken:.0%} of the time is work")
