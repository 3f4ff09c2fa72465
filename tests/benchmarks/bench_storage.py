"""What the file storage and the memory cache cost: `pytest -s tests/benchmarks/bench_storage.py`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import pytest

from automl_core import Trial, TrialState, encode
from automl_local.cache import MemoryCache
from automl_local.files import FileStorage
from automl_local.threads import ThreadsExecutor

pytestmark = pytest.mark.benchmark
RECORD = encode(Trial(7, "lightgbm", {"rate": 0.1, "leaves": 63}, state=TrialState.COMPLETE, loss=0.25, seconds=1.5))


def report(what: str, ours: float, peer: str, theirs: float) -> None:
    print(f"\n{what}: {ours * 1e6:.2f} us; {peer}: {theirs * 1e6:.2f} us; ratio {ours / theirs:.2f}", end="")


def measure(*calls: Callable[[], object], count: int, turns: int = 7) -> list[float]:
    """Return the median seconds of one call of each, taken in turn so that all meet the same noise."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            for _ in range(count):
                call()
            taken.append((time.perf_counter() - started) / count)
    return [statistics.median(taken) for taken in times]


@pytest.mark.parametrize("fsync", [False, True], ids=["flush", "fsync"])
def test_append_against_a_bare_file(tmp_path: Path, fsync: bool) -> None:
    storage = FileStorage(tmp_path, fsync=fsync)

    def bare() -> None:
        with (tmp_path / "bare").open("ab") as file:
            file.write(RECORD + b"\n")
            file.flush()
            if fsync:
                os.fsync(file.fileno())

    ours, theirs = measure(lambda: storage.append("log", RECORD), bare, count=50 if fsync else 500)
    report(f"append {len(RECORD)} bytes{' with fsync' if fsync else ''}", ours, "open, write, close", theirs)
    assert len(list(storage.read("log"))) == (350 if fsync else 3500)


def test_read_against_lines_of_a_file(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    for _ in range(5000):
        storage.append("log", RECORD)
    path = tmp_path / "logs" / "log.jsonl"
    ours, theirs = measure(
        lambda: sum(1 for _ in storage.read("log")), lambda: len(path.read_bytes().splitlines()), count=1
    )
    report("read one of 5000 records", ours / 5000, "splitlines", theirs / 5000)


def test_cache_hit_against_lru_cache() -> None:
    cache = MemoryCache()
    cache.set("key", b"x" * 100, ttl=3600)
    function = lru_cache(1000)(lambda key: b"x" * 100)
    ours, theirs = measure(lambda: cache.get("key"), lambda: function("key"), count=100_000)
    report("cache hit", ours, "functools.lru_cache", theirs)


def test_thread_submission_against_the_standard_pool() -> None:
    with ThreadsExecutor(2) as executor, ThreadPoolExecutor(2) as pool:
        ours, theirs = measure(
            lambda: executor.submit(len, "abc").result(), lambda: pool.submit(len, "abc").result(), count=1000
        )
    report("submit and wait", ours, "ThreadPoolExecutor", theirs)
