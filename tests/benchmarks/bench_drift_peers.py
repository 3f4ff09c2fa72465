"""Drift and performance monitoring beside river and whylogs: cost a row, and alarms on river's synthetic streams.

The peers run, with their defaults, in an environment of their own, made in a temporary folder and used again. Run it with
`pytest -m benchmark -s tests/benchmarks/bench_drift_peers.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

pytest.importorskip("automl_drift")

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

FEATURES, QUIET, CHANGED, SEEDS = 20, 10_000, 2_000, 3

COST = """
import json, sys, time
import numpy as np
from river import drift
from whylogs.core import DatasetProfile

values = np.random.default_rng(0).normal(size=(2000, int(sys.argv[1])))
rows = [dict(zip(map("f{}".format, range(values.shape[1])), row)) for row in values.tolist()]

def spent(work, rows):
    started = time.process_time()
    for row in rows:
        work(row)
    return 1e6 * (time.process_time() - started) / len(rows)

def watch(make):
    detectors = {name: make() for name in rows[0]}
    def work(row):
        for name, value in row.items():
            detectors[name].update(value)
    return work

profile = DatasetProfile()
profile.track(rows[0])
found = {name: spent(watch(getattr(drift, name)), rows[: 200 if name == "KSWIN" else 2000]) for name in ("ADWIN", "PageHinkley", "KSWIN")}
found["whylogs"] = spent(profile.track, rows)
frame = __import__("pandas").DataFrame(values, columns=list(rows[0]))
started = time.process_time()
profile.track(pandas=frame)
found["whylogs, all rows at once"] = 1e6 * (time.process_time() - started) / len(rows)
size = profile.view().get_column("f0").to_protobuf().ByteSize()
print(json.dumps({"cost": found, "whylogs bytes a feature": size}))
"""

STREAMS = """
import itertools, json, sys
import numpy as np
from river import drift, tree
from river.datasets import synth

quiet, changed, seeds = map(int, sys.argv[1:])
PAIRS = {
    "SEA": lambda s: (synth.SEA(0, seed=s, noise=0.1), synth.SEA(3, seed=s + 50, noise=0.1)),
    "STAGGER": lambda s: (synth.STAGGER(0, seed=s), synth.STAGGER(2, seed=s + 50)),
    "Sine": lambda s: (synth.Sine(0, seed=s, has_noise=False), synth.Sine(1, seed=s + 50, has_noise=False)),
    "Agrawal": lambda s: (synth.Agrawal(0, seed=s), synth.Agrawal(1, seed=s + 50)),
    "Hyperplane": lambda s: (synth.Hyperplane(seed=s, n_features=5), synth.Hyperplane(seed=s + 50, n_features=5)),
    "RandomRBF": lambda s: (synth.RandomRBF(seed_model=1, seed_sample=s), synth.RandomRBF(seed_model=2, seed_sample=s)),
}

def alarms(make, errors):
    detector, found = make(), []
    for place, error in enumerate(errors):
        detector.update(error)
        if detector.drift_detected:
            found.append(place)
            detector = make()
    return found

KINDS = "ADWIN", "PageHinkley", "KSWIN"
told = []
for seed in range(seeds):
    random = np.random.default_rng(seed)
    values = random.normal(size=quiet + changed) + 0.5 * (np.arange(quiet + changed) >= quiet)
    found = {kind: alarms(getattr(drift, kind), values.tolist()) for kind in KINDS}
    told.append({"stream": "normal", "values": values.tolist(), "alarms": found})
for name, pair in PAIRS.items():
    for seed in range(1, seeds + 1):
        before, after = (iter(stream.take(4000 + quiet + changed)) for stream in pair(seed))
        model = tree.HoeffdingTreeClassifier()
        for x, y in itertools.islice(before, 2000):
            model.learn_one(x, y)
        wrong = lambda rows: [int(model.predict_one(x) != y) for x, y in rows]
        held_out, first = wrong(itertools.islice(before, 2000)), wrong(itertools.islice(before, quiet))
        errors = first + wrong(itertools.islice(after, changed))
        found = {kind: alarms(getattr(drift, kind), errors) for kind in KINDS}
        told.append({"stream": name, "score": 1 - sum(held_out) / 2000, "values": errors, "alarms": found})
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def ask() -> Callable[..., Any]:
    """Run a script with the peers' Python, and return what it prints as JSON; skip where they cannot be installed."""
    place = Path(tempfile.gettempdir(), "automl-peers", "drift")
    python = place / "bin/python"
    make = [] if python.exists() else [[sys.executable, "-m", "venv", str(place)]]
    for command in [*make, [str(python), "-m", "pip", "install", "--quiet", "river", "whylogs", "pandas"]]:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"river and whylogs cannot be installed: {done.stderr[-300:]}")

    def run(script: str, *arguments: int) -> Any:
        command = [str(python), "-W", "ignore", "-c", script, *map(str, arguments)]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)

    return run


def test_cost_of_a_row(ask: Callable[..., Any]) -> None:
    from automl_drift.profile import Profile
    from automl_drift.watch import Watch

    random = np.random.default_rng(0)
    watch = Watch([Profile.of(f"f{i}", random.normal(size=5000)) for i in range(FEATURES)])
    print(f"\nmicroseconds of processor time a row of {FEATURES} features; ours in batches, counting and judging:")
    for rows in (100, 1000):
        batches = [{f"f{i}": random.normal(size=rows) for i in range(FEATURES)} for _ in range(20_000 // rows)]
        started = time.process_time()
        for batch in batches:
            watch.add(watch.count(batch, rows), rows)
        print(f"  ours, {rows} rows at once: {1e6 * (time.process_time() - started) / 20_000:.2f}")
    told = ask(COST, FEATURES)
    for name, cost in told["cost"].items():
        print(f"  {name}: {cost:.2f}")
    print(f"  a feature of whylogs is stored in {told['whylogs bytes a feature']:,} bytes")


def alarms_of_ours(one: dict[str, Any]) -> list[int]:
    from automl_drift.detector import DriftDetector
    from automl_drift.performance import PerformanceMonitor

    monitor, detector = PerformanceMonitor(tolerance=0.02, run_length=20_000), DriftDetector(run_length=20_000)
    monitor.set_baseline(min(one.get("score", 0.9), 0.9999))
    reference = np.random.default_rng(1000).normal(size=5000)
    detector.set_reference_distribution(reference)
    found = []
    for place, value in enumerate(one["values"]):
        if "score" in one:
            monitor.take(float(value))
            alarm = monitor.degraded
        else:
            detector.add_prediction(value)
            alarm = detector.detect_prediction_drift()[0]
        if alarm:
            found.append(place)
            monitor.reset()
            detector.set_reference_distribution(reference)
    return found


def test_alarms_on_streams(ask: Callable[..., Any]) -> None:
    """Print false alarms before a change, and rows from the change to the alarm.

    A model of a first concept predicts on, and its errors are watched; of "normal" the values, which shift by half a deviation.
    """
    told = ask(STREAMS, QUIET, CHANGED, SEEDS)
    for one in told:
        one["alarms"] = {"ours": alarms_of_ours(one), **one["alarms"]}
    streams = list(dict.fromkeys(one["stream"] for one in told))
    print(
        f"\n{SEEDS} streams each of {QUIET:,} rows as before and {CHANGED:,} changed; a change that is missed counts as inf"
    )
    for kind in told[0]["alarms"]:
        print(f"{kind}:")
        for name in streams:
            found = [one["alarms"][kind] for one in told if one["stream"] == name]
            false = sum(place < QUIET for places in found for place in places)
            delays = [min((p - QUIET for p in places if p >= QUIET), default=float("inf")) for places in found]
            print(f"  {name}: {false} false alarms in {QUIET * SEEDS:,} rows, median delay {median(delays)}")
