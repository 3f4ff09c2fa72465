"""What watching a model costs, in processor time, beside bare numpy for the same counts.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_drift.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("automl_drift")
pytest.importorskip("automl_prometheus")

pytestmark = pytest.mark.benchmark

FEATURES = 20


def processor_time(work: Callable[[], object], repeats: int) -> float:
    """Return the least processor seconds of five runs, each per repeat."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - started) / repeats)
    return best


@pytest.mark.parametrize("rows", [1, 100, 1000, 10_000])
def test_counting_and_judging(rows: int) -> None:
    from automl_drift.profile import Profile
    from automl_drift.watch import Watch

    random = np.random.default_rng(0)
    watch = Watch([Profile.of(f"f{i}", random.normal(size=5000)) for i in range(FEATURES)])
    edges = [profile.edges for profile in watch.profiles]
    values = random.normal(size=(FEATURES, rows))
    columns = {f"f{i}": values[i] for i in range(FEATURES)}
    counts = watch.count(columns, rows)
    repeats = max(3, 10_000 // rows // 10)
    bare = processor_time(
        lambda: [
            np.bincount(np.searchsorted(e, v, side="right"), minlength=23) for e, v in zip(edges, values, strict=True)
        ],
        repeats,
    )
    counting = processor_time(lambda: watch.count(columns, rows), repeats)
    judging = processor_time(lambda: watch.add(counts, rows), repeats)
    print(
        f"\n{rows} rows: counting {1e6 * counting / rows:.2f} us a row ({counting / bare:.1f} times bare numpy), "
        f"judging {1e6 * judging / rows:.2f} us a row"
    )


def test_emitting() -> None:
    from automl_core import Event
    from automl_drift.monitor import DriftMonitor
    from automl_prometheus.monitor import PrometheusMonitor

    event = Event("prediction", time.time(), {"model": "m", "seconds": [0.001], "rows": 1, "hits": 0})
    append = processor_time(lambda: [].append(event), 5000)
    with DriftMonitor(interval=600, queue=10_000_000) as drift:
        for monitor in (drift, PrometheusMonitor()):
            took = processor_time(lambda m=monitor: m.emit(event), 5000)
            print(f"\n{type(monitor).__name__}.emit: {1e6 * took:.2f} us, {took / append:.0f} times a list's append")


def test_memory_of_a_feature() -> None:
    import tracemalloc

    from automl_drift.profile import Profile
    from automl_drift.watch import Watch

    random = np.random.default_rng(0)
    profiles = [Profile.of(f"f{i}", random.normal(size=5000)) for i in range(200)]
    tracemalloc.start()
    watch = Watch(profiles)
    watch.add(watch.count({p.name: [0.0] * 100 for p in profiles}, 100), 100)
    print(f"\n{tracemalloc.get_traced_memory()[0] / 200 / 1000:.2f} kB a feature beyond its profile")
    tracemalloc.stop()
