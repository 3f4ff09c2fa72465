"""Files in chunks beside a bare pandas loop: `pytest -s tests/benchmarks/bench_chunks.py`.

The size of the file is $AUTOML_BENCH_MB, 200 by default.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.benchmark
MEGABYTES = int(os.environ.get("AUTOML_BENCH_MB", "200"))
CHUNK = 200_000

RUN = """
import json, resource, sys, time
import pandas as pd
import pyarrow, pyarrow.csv, pyarrow.parquet
from automl_dask.processor import ChunkedDataProcessor
way, source, target, chunk = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

def transform(frame):
    frame["feature"] = frame["a"] + frame["b"]
    return frame

def pandas_csv():
    for number, frame in enumerate(pd.read_csv(source, chunksize=chunk)):
        transform(frame).to_csv(target, mode="w" if number == 0 else "a", header=number == 0, index=False)

def pandas_parquet():
    writer = None
    for batch in pyarrow.parquet.ParquetFile(source).iter_batches(batch_size=chunk):
        table = pyarrow.Table.from_pandas(transform(batch.to_pandas()), preserve_index=False)
        writer = writer or pyarrow.parquet.ParquetWriter(target, table.schema)
        writer.write_table(table)
    writer.close()

ways = {
    "csv": lambda: ChunkedDataProcessor(chunk).process_csv_in_chunks(source, target, transform),
    "csv, 2 workers": lambda: ChunkedDataProcessor(chunk, workers=2).process_csv_in_chunks(source, target, transform),
    "csv by pandas": pandas_csv,
    "parquet": lambda: ChunkedDataProcessor(chunk).process_parquet_in_chunks(source, target, transform),
    "parquet by pyarrow": pandas_parquet,
}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
started, cpu = time.perf_counter(), time.process_time()
ways[way]()
print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu,
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "before": before / 1024}))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chunks") / "in.csv"
    rng = np.random.default_rng(0)
    rows = 100_000
    frame = pd.DataFrame({
        "a": rng.normal(size=rows), "b": rng.normal(size=rows), "count": rng.integers(0, 10_000, rows),
        "town": rng.choice(["north", "south, east", "west"], rows), "day": rng.choice(["2024-01-01", "2025-06-30"], rows),
    })  # fmt: skip
    block = frame.to_csv(index=False, header=False).encode()
    with path.open("wb") as file:
        file.write(b"a,b,count,town,day\n")
        for _ in range(max(1, MEGABYTES * 1_000_000 // len(block))):
            file.write(block)
    return path


def measure(way: str, source: Path, suffix: str) -> dict[str, float]:
    target = source.with_name(f"out{suffix}")
    command = [sys.executable, "-c", RUN, way, str(source), str(target), str(CHUNK)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    target.unlink()
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("ways", "suffix"),
    [(("csv", "csv, 2 workers", "csv by pandas"), ".csv"), (("parquet", "parquet by pyarrow"), ".parquet")],
)
def test_chunks_beside_a_bare_loop(source: Path, ways: tuple[str, ...], suffix: str) -> None:
    size = source.stat().st_size / 1e6
    if suffix == ".parquet":
        path = source.with_suffix(".parquet")
        pd.read_csv(source).to_parquet(path, row_group_size=1_000_000)
        source = path
    found = {way: measure(way, source, suffix) for way in ways}
    bare = found[ways[-1]]
    for way, one in found.items():
        print(
            f"\n{way}: {size / one['seconds']:.0f} MB/s of CSV, {one['cpu']:.1f} s of CPU, peak {one['peak']:.0f} MiB "
            f"({one['before']:.0f} before); {bare['seconds'] / one['seconds']:.2f} times the loop, by CPU "
            f"{bare['cpu'] / one['cpu']:.2f}",
            end="",
        )
