"""What the LightGBM and XGBoost learners add to their libraries, or save: at the same parameters, in the same process.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_learners_boosting.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

lgb = pytest.importorskip("lightgbm")
xgb = pytest.importorskip("xgboost")
pytest.importorskip("automl_lightgbm")
pytest.importorskip("automl_xgboost")

pytestmark = pytest.mark.benchmark

COLUMNS, LEVELS, ROUNDS, FOLDS = 20, 50, 100, 5
LIGHTGBM = {"learning_rate": 0.05, "num_leaves": 31, "feature_fraction": 0.8, "bagging_fraction": 0.8}
XGBOOST = {"learning_rate": 0.05, "max_depth": 6, "subsample": 0.8, "colsample_bylevel": 0.8}


def make_data(rows: int, key: str) -> Any:
    from automl_core import Column, Data

    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    values[:, 0] = rng.integers(0, LEVELS, rows)
    values[rng.random(values.shape) < 0.02] = np.nan
    signal = np.nan_to_num(values[:, 1] + values[:, 2] * values[:, 3] + np.sin(values[:, 0]))
    target = (signal + rng.normal(size=rows) > 0).astype(np.float64)
    columns = (Column("c", LEVELS), *(Column(f"x{j}") for j in range(1, COLUMNS)))
    return Data(values, columns, target, key=key)


def make_jobs(data: Any, params: dict[str, Any]) -> list[Any]:
    """Return the folds of one configuration, each fitted for ROUNDS rounds under the eye of its valid rows."""
    from automl_core import Job

    fold = np.random.default_rng(1).integers(0, FOLDS, len(data.target))
    parts = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(FOLDS)]
    return [Job(data, train, valid, "binary", 2, params, rounds=ROUNDS) for train, valid in parts]


def bare_lightgbm(job: Any) -> Any:
    data, options = job.data, {"verbosity": -1, "num_threads": 1, "force_col_wise": True}
    train = lgb.Dataset(data.values[job.train], data.target[job.train], categorical_feature=[0], params=options)
    valid = lgb.Dataset(data.values[job.valid], data.target[job.valid], reference=train)
    params = {**options, "objective": "binary", "bagging_freq": 1, "deterministic": True, **job.params}
    return lgb.train(params, train, ROUNDS, valid_sets=[valid])


def bare_xgboost(job: Any) -> Any:
    options = {"feature_types": ["c"] + ["q"] * (COLUMNS - 1), "enable_categorical": True, "nthread": 1}
    data = job.data
    train = xgb.QuantileDMatrix(data.values[job.train], data.target[job.train], **options)
    valid = xgb.QuantileDMatrix(data.values[job.valid], data.target[job.valid], ref=train, **options)
    params = {"objective": "binary:logistic", "tree_method": "hist", "nthread": 1, **job.params}
    return xgb.train(params, train, ROUNDS, evals=[(valid, "valid")], verbose_eval=False)


def learners() -> dict[str, tuple[Any, dict[str, Any], Callable[[Any], Any]]]:
    from automl_lightgbm.learner import LightGBMLearner
    from automl_xgboost.learner import XGBoostLearner

    return {
        "lightgbm": (LightGBMLearner(), LIGHTGBM, bare_lightgbm),
        "xgboost": (XGBoostLearner(), XGBOOST, bare_xgboost),
    }


def cpu(call: Callable[[], Any], *, repeat: int = 3) -> float:
    """Return the fastest call's seconds of this thread's processor; all fits here have one thread."""
    taken = []
    for _ in range(repeat):
        start = time.thread_time()
        call()
        taken.append(time.thread_time() - start)
    return min(taken)


@pytest.mark.parametrize("rows", [500, 5_000, 50_000])
@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_folds_of_a_configuration(name: str, rows: int, capsys: pytest.CaptureFixture[str]) -> None:
    learner, params, bare = learners()[name]
    jobs = make_jobs(make_data(rows, "table"), params)
    fresh = make_jobs(make_data(rows, ""), params)
    first = cpu(lambda: [learner.fit(job) for job in fresh], repeat=1)
    ours = cpu(lambda: [learner.fit(job) for job in jobs], repeat=2)
    theirs = cpu(lambda: [bare(job) for job in jobs], repeat=2)
    assert learner.fit(jobs[0]).rounds == ROUNDS
    with capsys.disabled():
        print(
            f"\n{name}, {FOLDS} folds of {rows} rows, {ROUNDS} rounds: {ours:.2f} s with bins kept, {first:.2f} s",
            end="",
        )
        print(f" without; bare {theirs:.2f} s ({ours / theirs:.2f} and {first / theirs:.2f} times)")


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_export(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    learner, params, bare = learners()[name]
    job = make_jobs(make_data(5_000, "table"), params)[0]
    model, peer = learner.fit(job), bare(job)
    ours = cpu(model.export)
    # The library's own ways to arrays: a table of nodes.
    theirs = cpu(peer.trees_to_dataframe, repeat=1)
    nodes = len(model.export().feature)
    with capsys.disabled():
        print(f"\n{name}, export of {nodes} nodes: {1000 * ours:.0f} ms, {1e6 * ours / nodes:.2f} us a node;", end="")
        print(f" trees_to_dataframe {1000 * theirs:.0f} ms ({theirs / ours:.0f} times)")
