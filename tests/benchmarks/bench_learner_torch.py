"""The network against LightGBM on the data sets that ship with scikit-learn: loss and time, as ratios.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_learner_torch.py`.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import datasets

lgb = pytest.importorskip("lightgbm")
pytest.importorskip("torch")
pytest.importorskip("automl_torch")

pytestmark = pytest.mark.benchmark

TASKS = {"breast_cancer": "binary", "wine": "multiclass", "digits": "multiclass", "diabetes": "regression"}


def loss(task: str, predicted: np.ndarray, target: np.ndarray) -> float:
    if task == "regression":
        return float(np.sqrt(np.mean((predicted - target) ** 2)))
    return float(-np.mean(np.log(np.maximum(predicted[np.arange(len(target)), target.astype(int)], 1e-15))))


def boost(values: np.ndarray, target: np.ndarray, parts: list[np.ndarray], task: str, classes: int) -> np.ndarray:
    params = {"objective": task, "learning_rate": 0.05, "num_threads": 1, "verbose": -1}
    if task == "multiclass":
        params["num_class"] = classes
    train, valid, test = parts
    rows = lgb.Dataset(values[train], target[train])
    stop = lgb.early_stopping(50, verbose=False)
    watched = rows.create_valid(values[valid], target[valid])
    predicted = lgb.train(params, rows, 1000, valid_sets=[watched], callbacks=[stop]).predict(values[test])
    return np.column_stack([1 - predicted, predicted]) if task == "binary" else predicted


@pytest.mark.parametrize("name", TASKS)
def test_loss(name: str) -> None:
    from automl_core import Column, Data, Job
    from automl_torch.learner import Perceptron

    task = TASKS[name]
    values, target = getattr(datasets, f"load_{name}")(return_X_y=True)
    values, target = values.astype(np.float32), target.astype(np.float64)
    classes = 0 if task == "regression" else int(target.max()) + 1
    data = Data(values, tuple(Column(f"x{j}") for j in range(values.shape[1])), target)
    losses, seconds = np.zeros((3, 2)), np.zeros((3, 2))
    for split in range(3):
        order = np.random.default_rng(split).permutation(len(target))
        parts = np.split(order, [int(len(order) * 0.6), int(len(order) * 0.75)])
        job = Job(data, parts[0], parts[1], task, classes, {}, seed=split)
        started = time.perf_counter()
        network = Perceptron().fit(job).predict(values[parts[2]])
        middle = time.perf_counter()
        boosted = boost(values, target, parts, task, classes)
        seconds[split] = middle - started, time.perf_counter() - middle
        losses[split] = loss(task, network, target[parts[2]]), loss(task, boosted, target[parts[2]])
    (ours, theirs), (slow, fast) = losses.mean(axis=0), seconds.mean(axis=0)
    print(f"\n{name}: loss {ours:.4f}, LightGBM {theirs:.4f}, ratio {ours / theirs:.2f}; time ratio {slow / fast:.1f}")
    assert np.isfinite(losses).all()
