"""What the scikit-learn learners add to scikit-learn: fits at the same settings, and the way to flat arrays.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_learners_sklearn.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pytest

pytest.importorskip("automl_sklearn")
ensemble = pytest.importorskip("sklearn.ensemble")

pytestmark = pytest.mark.benchmark

ROWS, COLUMNS, TREES = 8_000, 20, 40


@pytest.fixture(scope="module")
def data():
    from automl_core import Column, Data

    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    target = (values[:, 0] + values[:, 1] * values[:, 2] + rng.normal(size=ROWS) > 0).astype(np.float64)
    return Data(values, tuple(Column(f"x{j}") for j in range(COLUMNS)), target)


def bare_forest(kind: str) -> object:
    options = {"max_features": 0.7, "max_leaf_nodes": 200_000 // TREES, "n_jobs": 1, "random_state": 0}
    return getattr(ensemble, kind)(TREES, **options)


def bare_boosting() -> object:
    return ensemble.HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=TREES,
        l2_regularization=1.0,
        max_features=0.8,
        early_stopping=False,
        random_state=0,
    )


def bare_linear() -> object:
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(Cs=13, cv=4, l1_ratios=(0,), use_legacy_attributes=False, scoring="neg_log_loss"),
    )


PEERS: dict[tuple[str, str], Callable[[], object]] = {
    ("forest", "RandomForest"): lambda: bare_forest("RandomForestClassifier"),
    ("forest", "ExtraTrees"): lambda: bare_forest("ExtraTreesClassifier"),
    ("boosting", "HistGradientBoosting"): bare_boosting,
    ("linear", "Linear"): bare_linear,
}


def measure(call: Callable[[], object], repeat: int = 3) -> float:
    """Return the fastest call's seconds: other work on the machine only ever adds."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.mark.parametrize(("module", "name"), PEERS, ids=lambda word: word)
def test_fit(data, module: str, name: str) -> None:
    from threadpoolctl import threadpool_limits

    from automl_core import Job

    learner = getattr(import_module(f"automl_sklearn.{module}"), name)()
    job = Job(data, np.arange(ROWS), None, "binary", 2, {}, rounds=TREES)
    with threadpool_limits(limits=1):
        ours = measure(lambda: learner.fit(job))
        bare = measure(lambda: PEERS[module, name]().fit(data.values, data.target.astype(int)))
    model = learner.fit(job)
    export = measure(model.export)
    print(f"\n{name}: {ours:.3f} s, bare {bare:.3f} s, ratio {ours / bare:.2f}; export {1000 * export:.1f} ms")
    assert model.predict(data.values[:10]).shape == (10, 2)
