"""The search and the executor beside bare Ray, early stopping, and scaling: `pytest -s tests/benchmarks/bench_ray.py`.

$BENCH_TRIALS trials each, 400 by default; $BENCH_SLOTS, 64 by default, is where scaling ends. $BENCH_TABLES names tables for
early stopping instead of those that come with scikit-learn, as PATH.parquet:TARGET, with commas between; $BENCH_FOLDS, 5 by
default, is their folds.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray import cloudpickle
from sklearn.datasets import load_breast_cancer, load_digits, make_friedman1

from automl import AutoML
from automl_core import Float, Space, Trial
from automl_core.settings import load_settings
from automl_ray.cluster import Cluster
from automl_ray.executor import RayExecutor
from automl_ray.optimizer import RayTuneOptimizer
from automl_ray.settings import RayTuneSettings

pytestmark = pytest.mark.benchmark
TRIALS = int(os.environ.get("BENCH_TRIALS", "400"))
SLOTS = int(os.environ.get("BENCH_SLOTS", "64"))
FOLDS = int(os.environ.get("BENCH_FOLDS", "5"))
STEPS = 5
# Workers need not find this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
WAIT = 2.0  # seconds that a trial waits instead of computing


@pytest.fixture(scope="module")
def one_node() -> Iterator[Cluster]:
    with Cluster(cpus=2, gpus=0, object_store_bytes=200 << 20) as cluster:
        yield cluster


def loss_of(x: float, step: int) -> float:
    return (x - 0.3) ** 2 + 1 / (step + 1)


def evaluate(trial: Trial) -> Iterator[tuple[None, float]]:
    for step in range(STEPS):
        yield None, loss_of(float(trial.params["x"] or 0), step)


def objective(config: dict[str, Any]) -> None:
    from ray import tune

    for step in range(STEPS):
        tune.report({"loss": loss_of(config["x"], step)})


def bare_tune(algorithm: str) -> float:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        tune.Tuner(
            objective,
            param_space={"x": tune.uniform(0, 1)},
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", num_samples=TRIALS, max_concurrent_trials=2, reuse_actors=True,
                search_alg=OptunaSearch() if algorithm == "optuna" else None,
                scheduler=ASHAScheduler(max_t=STEPS, grace_period=1, reduction_factor=4),
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()  # fmt: skip
        return time.perf_counter() - started


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_trials_an_hour_beside_bare_ray_tune(one_node: Cluster, algorithm: str) -> None:
    search = RayTuneOptimizer(
        RayTuneSettings(num_samples=TRIALS, max_concurrent_trials=2, search_algorithm=algorithm)  # type: ignore[arg-type]
    )
    search.begin({"line": Space({"x": Float(0.0, 1.0)})}, seed=0)
    started = time.perf_counter()
    assert sum(1 for _ in search.drive(evaluate, steps=STEPS, seconds=None)) == TRIALS
    ours = time.perf_counter() - started
    bare = bare_tune(algorithm)
    print(
        f"\n{algorithm}: {3600 * TRIALS / ours:.0f} trials an hour of {STEPS} steps on 2 CPUs, start included; bare Ray "
        f"Tune {3600 * TRIALS / bare:.0f}: ratio {ours / bare:.2f}",
        end="",
    )


def test_tasks_beside_bare_tasks(one_node: Cluster) -> None:
    ray, count = one_node.ray, 10 * TRIALS
    bare_task = ray.remote(num_cpus=1)(abs_of)
    with RayExecutor(Cluster()) as executor:
        wait([executor.submit(abs_of, 1) for _ in range(100)])
        ray.get([bare_task.remote(1) for _ in range(100)])
        started = time.perf_counter()
        wait([executor.submit(abs_of, number) for number in range(count)])
        ours = time.perf_counter() - started
    started = time.perf_counter()
    ray.get([bare_task.remote(number) for number in range(count)])
    bare = time.perf_counter() - started
    # With as many at a time as the executor has, as a study does: it needs an answer to know what comes next.
    started = time.perf_counter()
    running = [bare_task.remote(number) for number in range(2)]
    for number in range(2, count):
        (done,), running = ray.wait(running, num_returns=1)
        ray.get(done)
        running.append(bare_task.remote(number))
    ray.get(running)
    stepwise = time.perf_counter() - started
    print(
        f"\nexecutor ray: {3600 * count / ours:.0f} trials an hour, {1000 * ours / count:.2f} ms each; bare tasks two at a time "
        f"{1000 * stepwise / count:.2f} ms, ratio {ours / stepwise:.2f}; all at once {1000 * bare / count:.2f} ms, ratio "
        f"{ours / bare:.2f}",
        end="",
    )


def abs_of(number: int) -> int:
    return abs(number)


def bundled() -> dict[str, tuple[Any, Any]]:
    return {
        "digits": load_digits(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
        "friedman": make_friedman1(2000, n_features=20, noise=1.0, random_state=0),
    }


def read(name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return at most 4,000 rows of a table, at random, and their target."""
    if ":" not in name:
        x, y = bundled()[name]
        return pd.DataFrame(x).rename(columns=str), pd.Series(y)
    path, _, target = name.rpartition(":")
    frame = pd.read_parquet(path)
    frame = frame.sample(min(len(frame), 4000), random_state=0).reset_index(drop=True)
    return frame.drop(columns=target), frame[target]


@pytest.mark.parametrize("name", os.environ["BENCH_TABLES"].split(",") if "BENCH_TABLES" in os.environ else bundled())
def test_asha_beside_the_full_search(one_node: Cluster, tmp_path: Path, name: str) -> None:
    x, y = read(name)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[: len(y) * 3 // 4], order[len(y) * 3 // 4 :]
    found: dict[str, tuple[float, float]] = {}
    for scheduler in ("fifo", "asha"):
        given = RayTuneSettings(num_samples=40, scheduler=scheduler, search_algorithm="random")  # type: ignore[arg-type]
        settings = load_settings(executor="serial", learners=("lightgbm",), directory=str(tmp_path / scheduler))
        engine = AutoML(
            time_limit=None, max_trials=40, folds=FOLDS, n_jobs=1, settings=settings, optimizer=RayTuneOptimizer(given)
        )
        engine.fit(x.iloc[train], y.iloc[train])
        rows = [row for row in engine.leaderboard() if row["learner"] != "ensemble"]
        found[scheduler] = sum(row["seconds"] for row in rows), engine.score(x.iloc[test], y.iloc[test])
    (full, score), (early, early_score) = found["fifo"], found["asha"]
    print(
        f"\n{Path(name.rpartition(':')[0] or name).stem}: 40 trials of {FOLDS} folds in {full:.1f} s of training, score "
        f"{score:.4f}; with asha {early:.1f} s, score {early_score:.4f}: {early / full:.2f} of the seconds",
        end="",
    )


def test_scaling_with_slots(one_node: Cluster) -> None:
    from ray.cluster_utils import Cluster as Nodes

    one_node.close()
    slots, first = 2, 0.0
    while slots <= SLOTS:
        nodes = max(1, slots // 16)
        cluster = Nodes()
        for _ in range(nodes):
            cluster.add_node(num_cpus=slots // nodes, object_store_memory=80 << 20)
        try:
            rate = throughput(str(cluster.address), slots)
        finally:
            cluster.shutdown()
        first = first or rate / slots
        print(
            f"\n{slots} slots on {nodes} nodes: {rate:.2f} waiting trials/s, {rate * WAIT / slots:.2f} of what there could "
            f"be, {rate / slots / first:.2f} of linear from 2 slots",
            end="",
        )
        slots *= 2


def throughput(address: str, slots: int) -> float:
    """Return trials a second, once all workers run."""
    with RayExecutor(Cluster(address, timeout=120)) as executor:
        assert executor.capacity == slots
        together = [executor.submit(time.sleep, 20 if slots > 8 else 5) for _ in range(slots)]
        assert not wait(together, timeout=600).not_done
        started = time.perf_counter()
        assert not wait([executor.submit(time.sleep, WAIT) for _ in range(5 * slots)], timeout=600).not_done
        return 5 * slots / (time.perf_counter() - started)
