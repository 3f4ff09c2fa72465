"""What the CatBoost learner adds to CatBoost: fits with the same parameters, and the way to flat arrays.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_learner_catboost.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

cb = pytest.importorskip("catboost")
pd = pytest.importorskip("pandas")
pytest.importorskip("automl_catboost")

pytestmark = pytest.mark.benchmark

ROWS, NUMBERS, LEVELS, ROUNDS = 20_000, 10, (2, 5, 20, 100, 500), 60


@pytest.fixture(scope="module")
def data():
    from automl_core import Column, Data

    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, NUMBERS)).astype(np.float32)
    codes = np.column_stack([rng.integers(0, levels, ROWS) for levels in LEVELS])
    signal = numbers[:, 0] + codes[:, 2] % 3 - 1 + 0.3 * (codes[:, 4] % 7 - 3) * (codes[:, 0] + 1)
    target = (signal + rng.normal(size=ROWS) > 0).astype(np.float64)
    columns = (
        *(Column(f"n{place}") for place in range(NUMBERS)),
        *(Column(f"c{levels}", levels) for levels in LEVELS),
    )
    return Data(np.column_stack([numbers, codes]).astype(np.float32), columns, target, key="bench")


def measure(call: Callable[[], object], repeat: int) -> float:
    """Return the fastest call's seconds of processor: all that is measured here runs in one thread."""
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


@pytest.mark.parametrize("names", ["numbers", "categories"])
def test_fit(data, names: str) -> None:
    from automl_catboost.learner import CatBoostLearner, _parameters
    from automl_core import Data, Job

    if names == "numbers":
        data = Data(data.values[:, :NUMBERS].copy(), data.columns[:NUMBERS], data.target, key="numbers")
    train, valid = np.arange(ROWS * 4 // 5), np.arange(ROWS * 4 // 5, ROWS)
    job = Job(data, train, valid, "binary", 2, {}, rounds=ROUNDS)
    learner, params = CatBoostLearner(), _parameters(job)

    frame = pd.DataFrame(data.values, columns=[column.name for column in data.columns])
    categorical = [column.name for column in data.columns if column.categorical]
    frame = frame.astype(dict.fromkeys(categorical, int)).astype(dict.fromkeys(categorical, "category"))

    def bare() -> None:
        pools = [cb.Pool(frame.iloc[rows], data.target[rows], cat_features=categorical) for rows in (train, valid)]
        cb.CatBoost(params).fit(pools[0], eval_set=pools[1])

    learner.fit(job)  # quantises the table, as the first fold of a study does
    ours, theirs = measure(lambda: learner.fit(job), 3), measure(bare, 3)
    print(f"\nfit with {names}: learner {ours:.2f} s, bare CatBoost {theirs:.2f} s, ratio {ours / theirs:.2f}")


def test_export(data) -> None:
    from automl_catboost.learner import CatBoostLearner
    from automl_core import Job

    rows = np.arange(ROWS // 2)
    params = {"max_ctr_complexity": 4, "depth": 6}
    started = time.process_time()
    model = CatBoostLearner().fit(Job(data, rows, None, "binary", 2, params, rounds=1000))
    fitted = time.process_time() - started
    taken = measure(model.export, 2)
    forest = model.export()
    print(
        f"\nexport of {len(forest.roots)} trees, {len(forest.derived)} statistics: {taken:.2f} s,"
        f" {taken / fitted:.3f} of the fit"
    )


def test_callback(data) -> None:
    """CatBoost hands the whole curve to the callback in each round."""

    class Silent:
        def after_iteration(self, info: object) -> bool:
            return True

    rows = np.arange(1000)
    pool = cb.Pool(data.values[rows, :NUMBERS].copy(), data.target[rows])
    params = {"loss_function": "Logloss", "iterations": 3000, "depth": 2, "thread_count": 1, "learning_rate": 0.01}
    params |= {"eval_metric": "Logloss:hints=skip_train~true"}  # as the learner does: half of what is handed over
    params |= {"logging_level": "Silent", "allow_writing_files": False, "use_best_model": False}
    without, with_one = (
        measure(lambda callbacks=callbacks: cb.CatBoost(params).fit(pool, eval_set=pool, callbacks=callbacks), 2)
        for callbacks in (None, [Silent()])
    )
    print(f"\n3,000 rounds: {with_one:.2f} s with a callback, {without:.2f} s without, ratio {with_one / without:.2f}")
