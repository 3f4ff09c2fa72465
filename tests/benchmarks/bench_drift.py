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
    # Other values each time: the processor learns the branches of a search for the same ones.
    batches = [random.normal(size=(FEATURES, rows)) for _ in range(max(3, 20_000 // rows // 10))]
    tables = [{f"f{i}": values[i] for i in range(FEATURES)} for values in batches]
    listed = [{name: column.tolist() for name, column in table.items()} for table in tables]
    counts = watch.count(tables[0], rows)

    def bare() -> None:
        for values in batches:
            for e, v in zip(edges, values, strict=True):
                np.bincount(np.searchsorted(e, v, side="right"), minlength=23)

    numpy = processor_time(bare, 1) / len(batches)
    arrays = processor_time(lambda: [watch.count(table, rows) for table in tables], 1) / len(batches)
    lists = processor_time(lambda: [watch.count(table, rows) for table in listed], 1) / len(batches)
    judging = processor_time(lambda: watch.add(counts, rows), len(batches))
    print(
        f"\n{rows} rows of {FEATURES} features, us a row: counting {1e6 * arrays / rows:.2f} from arrays "
        f"({arrays / numpy:.1f} times bare numpy), {1e6 * lists / rows:.2f} from lists, judging {1e6 * judging / rows:.2f}"
    )


@pytest.mark.parametrize(("features", "reference"), [(1, 5000), (20, 2000), (20, 10_000), (200, 2000)])
def test_delay_of_a_shift_by_a_fifth_of_a_deviation(features: int, reference: int) -> None:
    """Print batches of 100 rows from the change of one feature, after 4,000 quiet rows, to the alarm."""
    from automl_drift.profile import Profile
    from automl_drift.watch import Watch

    delays = []
    for seed in range(11):
        random = np.random.default_rng(seed)
        names = [f"f{i}" for i in range(features)]
        watch = Watch([Profile.of(name, random.normal(size=reference)) for name in names])
        while watch.since is None and watch.rows < 8000:
            values = random.normal(size=(features, 100))
            values[0] += 0.2 * (watch.rows >= 4000)
            watch.add(watch.count(dict(zip(names, values, strict=True)), 100), 100)
        delays.append((watch.rows - 4000) / 100)
    print(
        f"\n{features} features, reference of {reference}: batches to the alarm: median {np.median(delays):.0f}, {min(delays):.0f} to {max(delays):.0f}"
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
    first = Watch(profiles)  # what is loaded once is no feature's
    first.add(first.count({}, 100), 100)
    tracemalloc.start()
    watch = Watch(profiles)
    watch.add(watch.count({p.name: [0.0] * 100 for p in profiles}, 100), 100)
    print(f"\n{tracemalloc.get_traced_memory()[0] / 200 / 1000:.2f} kB a feature beyond its profile")
    tracemalloc.stop()
