from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from distributed.utils import json_load_robust
from pyarrow import parquet

from automl_core import ComponentUnavailable, DataError
from automl_dask.loader import DaskDataLoader


@pytest.fixture(scope="module")
def loader() -> Iterator[DaskDataLoader]:
    with DaskDataLoader(n_workers=2, threads_per_worker=1, timeout=150) as loader:
        yield loader


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = 4000
    frame = pd.DataFrame({
        "column": rng.normal(size=rows), "a": rng.integers(0, 9, rows), "b": rng.normal(size=rows),
        "target": rng.integers(0, 2, rows),
    })  # fmt: skip
    (tmp_path / "huge-dataset").mkdir()
    for number in range(4):
        frame[number * 1000 : (number + 1) * 1000].to_parquet(tmp_path / f"huge-dataset/{number}.parquet", index=False)
    return frame


def test_example_of_the_guide(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    ddf = loader.load_parquet(f"{tmp_path}/huge-dataset/*.parquet")
    ddf = ddf[ddf["column"] > 0]
    ddf["new_feature"] = ddf["a"] * ddf["b"]
    sample = loader.sample(ddf, frac=0.1)
    X, y = loader.to_sklearn_arrays(ddf, target_col="target")
    expected = frame[frame["column"] > 0].assign(new_feature=lambda f: f["a"] * f["b"])
    np.testing.assert_array_equal(X, expected.drop(columns="target").to_numpy())
    np.testing.assert_array_equal(y, expected["target"])
    assert len(expected) * 0.07 < len(sample) < len(expected) * 0.13
    assert set(sample["new_feature"]) <= set(expected["new_feature"])


def test_work_is_done_by_the_workers(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    ddf = loader.load_parquet(f"{tmp_path}/huge-dataset")
    pids = ddf.map_partitions(lambda part: pd.Series([os.getpid()]), meta=(None, "int64")).compute()
    assert set(pids) <= set(loader.client.run(os.getpid).values())


def test_arrays_that_would_not_fit_are_refused(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    ddf = loader.load_parquet(f"{tmp_path}/huge-dataset")
    with pytest.raises(DataError, match=r"would take about 125\.00 kiB, by 4 of 4 partitions; 93\.75 kiB are allowed"):
        loader.to_sklearn_arrays(ddf, "target", memory_limit=96_000)
    X, _ = loader.to_sklearn_arrays(ddf, "target", memory_limit=96_000, force=True)
    assert X.shape == (4000, 3)


def test_columns_that_are_no_numbers_are_named(loader: DaskDataLoader, tmp_path: Path) -> None:
    pd.DataFrame({"town": ["x"], "y": [1]}).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match="column 'town': not of numbers"):
        loader.to_sklearn_arrays(loader.load_parquet(f"{tmp_path}/1.parquet"), "y")


def test_unknown_target_is_told_with_a_guess(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'target'"):
        loader.to_sklearn_arrays(loader.load_parquet(f"{tmp_path}/huge-dataset"), "tarqet")


def test_truncated_part_is_named_or_left_out(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "huge-dataset/2.parquet"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"2\.parquet' cannot be read as Parquet"):
        loader.load_parquet(f"{tmp_path}/huge-dataset")
    assert len(loader.load_parquet(f"{tmp_path}/huge-dataset", bad_files="skip")) == 3000


def test_parts_with_other_columns_are_brought_together(loader: DaskDataLoader, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": [0.5], "c": [True]}), tmp_path / "2.parquet")
    whole = loader.load_parquet(f"{tmp_path}/*.parquet").compute()
    assert whole["a"].tolist() == [1.0, 2.0, 0.5]
    assert whole["b"].isna().tolist() == [False, False, True]


def test_csv_is_read_in_blocks(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "huge.csv", index=False)
    ddf = loader.load_csv(tmp_path / "huge.csv", blocksize=50_000, dtypes={"a": "str"})
    assert ddf.npartitions > 2
    pd.testing.assert_series_equal(ddf["b"].compute().reset_index(drop=True), frame["b"])
    assert ddf["a"].head().tolist() == frame["a"].head().astype(str).tolist()


# ---- scans


def test_scan_is_what_data_frames_compute(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    found = loader.scan_parquet(
        f"{tmp_path}/huge-dataset/*.parquet",
        lambda rows: rows.filter(pl.col("column") > 0).group_by("a").agg(pl.col("b").sum(), pl.len()),
        combine=lambda parts: parts.group_by("a").agg(pl.col("b").sum(), pl.col("len").sum()).sort("a"),
    )
    expected = frame[frame["column"] > 0].groupby("a")["b"].agg(["sum", "size"])
    np.testing.assert_allclose(found["b"].to_numpy(), expected["sum"])
    assert found["len"].to_pylist() == expected["size"].tolist()


def test_scan_keeps_the_order_of_the_rows(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    found = loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows.select("b"))
    np.testing.assert_array_equal(found["b"].to_numpy(), frame["b"])


def test_scan_brings_columns_together(loader: DaskDataLoader, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"c": [True], "a": [0.5]}), tmp_path / "2.parquet")
    found = loader.scan_parquet(f"{tmp_path}/*.parquet", lambda rows: rows)
    assert found.to_pydict() == {"a": [1.0, 2.0, 0.5], "b": ["x", "y", None], "c": [None, None, True]}


def test_scan_minds_only_the_columns_that_it_asks_for(loader: DaskDataLoader, tmp_path: Path) -> None:
    for number, words in enumerate(([1, 2], ["x", "y"])):
        parquet.write_table(pa.table({"a": [0.5, 1.5], "b": words}), tmp_path / f"{number}.parquet")
    found = loader.scan_parquet(f"{tmp_path}/*.parquet", lambda rows: rows.select(pl.col("a").sum()))
    assert sum(found["a"].to_pylist()) == 4.0
    with pytest.raises(DataError, match=r"1\.parquet' does not fit the files before it"):
        loader.scan_parquet(f"{tmp_path}/*.parquet", lambda rows: rows)


def test_scan_tells_what_is_wrong_with_the_question(
    loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="nothing"):
        loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows.select("nothing"))
    with pytest.raises(DataError, match="no file has the column 'nothing'"):
        loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows, columns=["nothing"])


def test_scan_names_damaged_files(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "huge-dataset/2.parquet"
    data = path.read_bytes()
    path.write_bytes(data[:500])
    with pytest.raises(DataError, match=r"2\.parquet' cannot be read as Parquet"):
        loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows)
    kept = loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows.select(pl.len()), bad_files="skip")
    assert sum(kept["len"].to_pylist()) == 3000
    path.write_bytes(data[:4] + bytes(3000) + data[3004:])
    with pytest.raises(DataError, match=r"2\.parquet' cannot be read"):
        loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: rows)


# ---- faults of the cluster


def killed_once(marker: Path, rows: object) -> object:
    """Kill the worker that comes here first."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return rows


def test_worker_killed_in_a_scan_costs_no_rows(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    found = loader.scan_parquet(f"{tmp_path}/huge-dataset", lambda rows: killed_once(marker, rows).select("b"))  # type: ignore[attr-defined]
    assert marker.exists()
    np.testing.assert_array_equal(found["b"].to_numpy(), frame["b"])


def test_worker_killed_in_a_computation_costs_no_rows(
    loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"
    ddf = loader.load_parquet(f"{tmp_path}/huge-dataset")
    X, y = loader.to_sklearn_arrays(
        ddf.map_partitions(lambda part: killed_once(marker, part), meta=ddf._meta), "target", force=True
    )
    assert marker.exists()
    np.testing.assert_array_equal(X, frame.drop(columns="target").to_numpy())
    np.testing.assert_array_equal(y, frame["target"])


def test_what_memory_cannot_hold_goes_to_disk() -> None:
    import dask.dataframe as dd

    def block(number: int) -> pd.DataFrame:
        return pd.DataFrame({"x": np.full(5_000_000, float(number))})  # 40 MB

    def spilled(dask_worker: object) -> int:
        return len(dask_worker.data.slow)  # type: ignore[attr-defined]

    with DaskDataLoader(n_workers=1, threads_per_worker=1, memory_limit="500MB", timeout=150) as small:
        held = dd.from_map(block, range(16), meta={"x": "float64"}).persist()
        assert held["x"].sum().compute() == 5_000_000 * sum(range(16))
        assert all(count > 0 for count in small.client.run(spilled).values())


def test_lost_scheduler_ends_a_computation(tmp_path: Path) -> None:
    file, own = str(tmp_path / "scheduler.json"), ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file"]
    commands = [["scheduler", "--port", "0", *own, file], ["worker", "--nthreads", "1", "--no-nanny", *own, file]]
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL) for command in commands
    ]
    try:
        # The file is there before its text is.
        address = json_load_robust(file, timeout=60)["address"]
        parquet.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "1.parquet")
        with DaskDataLoader(address, timeout=5) as loader:
            begun = tmp_path / "begun"

            def hang(part: pd.DataFrame) -> pd.DataFrame:
                begun.touch()
                time.sleep(60)
                return part

            ddf = loader.load_parquet(f"{tmp_path}/1.parquet")
            running = loader.client.compute(ddf.map_partitions(hang, meta=ddf._meta))
            while not begun.exists():
                time.sleep(0.05)
            processes[0].kill()
            with pytest.raises(Exception, match=r"(?i)cancel|lost|closed|scheduler"):
                running.result(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_cluster_that_does_not_answer_is_told() -> None:
    with pytest.raises(ComponentUnavailable, match=r"no Dask scheduler answers at 127\.0\.0\.1:9 within 1 s"):
        DaskDataLoader(scheduler_address="127.0.0.1:9", n_workers=100, timeout=1)
