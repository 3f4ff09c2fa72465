"""What the storage of a cloud costs beside its bare client: `pytest -s tests/benchmarks/bench_clouds.py`.

Against moto's server on loopback, whose own work is most of the time: the ratio counts, not the rate.
"""

from __future__ import annotations

import io
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Context

boto3 = pytest.importorskip("boto3")
s3fs = pytest.importorskip("s3fs")
pytestmark = pytest.mark.benchmark
SERVER = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"
KEYS = {"region_name": "us-east-1", "aws_access_key_id": "id", "aws_secret_access_key": "secret"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log: Path = tmp_path_factory.mktemp("moto") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", SERVER, str(port)], stdout=file, stderr=file)
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    url = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=url, **KEYS)
    client.create_bucket(Bucket="bucket")
    client.close()
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def storage(url: str) -> Any:
    from automl_s3.plugin import build_storage

    keys = {"region": "us-east-1", "access_key_id": "id", "secret_access_key": "secret"}
    return build_storage(Context("s3", {**keys, "endpoint_url": url, "url": "s3://bucket/ours"}))


@pytest.fixture
def bare(url: str) -> Any:
    return s3fs.S3FileSystem(
        key="id",
        secret="secret",
        endpoint_url=url,
        client_kwargs={"region_name": "us-east-1"},
        use_listings_cache=False,
    )


def measure(*calls: Callable[[], object], turns: int = 5) -> list[float]:
    """Return the median seconds of each, taken in turn so that all meet the same noise."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(turns + 1):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken[1:]) for taken in times]  # the first one connects


def report(what: str, size: float, unit: str, ours: float, peer: str, theirs: float) -> None:
    print(f"\n{what}: {size / ours:.0f} {unit}; {peer}: {size / theirs:.0f} {unit}; ratio {theirs / ours:.2f}", end="")


@pytest.mark.parametrize("megabytes", [1, 64])
def test_blobs(storage: Any, bare: Any, megabytes: int) -> None:
    data = np.random.default_rng(0).bytes(megabytes << 20)
    ours, theirs = measure(lambda: storage.put("blob", data), lambda: bare.pipe_file("bucket/bare", data))
    report(f"put {megabytes} MB", megabytes, "MB/s", ours, "s3fs", theirs)
    ours, theirs = measure(lambda: storage.open("blob").read(), lambda: bare.cat_file("bucket/bare"))
    report(f"open and read {megabytes} MB", megabytes, "MB/s", ours, "s3fs", theirs)


def test_data_set(storage: Any, bare: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rng, sizes = np.random.default_rng(0), []
    for part in range(8):
        sink = io.BytesIO()
        parquet.write_table(pa.table({f"x{i}": rng.normal(size=100_000) for i in range(10)}), sink)
        storage.put_uri(f"s3://bucket/rows/{part}.parquet", sink.getvalue())
        sizes.append(len(sink.getvalue()))

    def theirs_all() -> Any:
        return pa.concat_tables([parquet.read_table(io.BytesIO(bare.cat_file(p))) for p in bare.glob("bucket/rows/*")])

    def theirs_two() -> Any:
        tables = []
        for path in bare.glob("bucket/rows/*"):
            with bare.open(path) as file:
                tables.append(parquet.read_table(file, columns=["x0", "x1"]))
        return pa.concat_tables(tables)

    size = sum(sizes) / (1 << 20)
    ours, theirs = measure(lambda: storage.table("s3://bucket/rows/*.parquet").to_table(), theirs_all)
    report(f"8 Parquet files of {size:.0f} MB", size, "MB/s", ours, "s3fs and pyarrow", theirs)
    columns = ["x0", "x1"]
    ours, theirs = measure(lambda: storage.table("s3://bucket/rows/*.parquet", columns=columns).to_table(), theirs_two)
    report("2 of their 10 columns", size / 5, "MB/s", ours, "s3fs and pyarrow", theirs)


def test_journal(storage: Any, bare: Any) -> None:
    record, count = b"x" * 300, 50
    numbers = iter(range(10_000))

    def append() -> None:
        for _ in range(count):
            storage.append("log", record)

    def put() -> None:
        for _ in range(count):
            bare.pipe_file(f"bucket/bare/{next(numbers)}", record)

    ours, theirs = measure(append, put, turns=3)
    report("append 300 bytes", count, "records/s", ours, "s3fs put", theirs)
    ours, theirs = measure(lambda: list(storage.read("log")), lambda: bare.cat(bare.find("bucket/bare")), turns=3)
    report("read a log of 200", 200, "records/s", ours, "s3fs find and cat", theirs)
