"""What `automl plugins` costs with 200 plugins installed: `pytest -s tests/benchmarks/bench_plugins.py`."""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from automl_core import Plugins, Settings
from automl_core.testing.fakes import install

pytestmark = pytest.mark.benchmark
COUNT = 200


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install plugins whose import would fail: discovery must not touch them."""
    for number in range(COUNT):
        requires = ["automl-core>=0.1,<1", "numpy>=1.26"]
        install(tmp_path, f"fake{number}", f"fake{number}", source="raise RuntimeError('imported')", requires=requires)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_discovery_of_200_plugins_against_a_bare_scan(many: None) -> None:
    settings = Settings()
    ours, bare = measure(lambda: len(Plugins(settings).infos()), lambda: len(entry_points(group="automl")))
    print(f"\ndiscover and describe {COUNT} plugins: {ours * 1e3:.1f} ms", end="; ")
    print(f"importlib.metadata.entry_points alone: {bare * 1e3:.1f} ms; ratio {ours / bare:.2f}")
    assert not [name for name in sys.modules if name.startswith("fake")]


def measure(*calls: Callable[[], int], turns: int = 9) -> list[float]:
    """Return the median seconds of each call, taken in turn so that all meet the same noise."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(turns):
        for call, taken in zip(calls, times, strict=True):
            importlib.invalidate_caches()
            started = time.perf_counter()
            assert call() >= COUNT
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]
