"""A fit with rows that have no target beside one of as many trials without them, on held-out rows.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_unlabelled.py`; nothing has a clock, so that the figures are the
same on any machine. "elsewhere" are unlabelled rows whose columns have another mean and spread.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, make_friedman1, make_moons

from automl import AutoML
from automl_core.settings import load_settings

pytestmark = pytest.mark.benchmark

SEEDS, TRIALS = 5, 4
LEARNERS = ("sklearn.linear", "sklearn.extra_trees")
TABLES: dict[str, Any] = {  # what makes the rows, how many have a target, how many have none
    "digits": (lambda seed: load_digits(return_X_y=True), 100, 1000),
    "breast cancer": (lambda seed: load_breast_cancer(return_X_y=True), 40, 300),
    "two moons": (lambda seed: make_moons(3000, noise=0.25, random_state=seed), 40, 1000),
    "Friedman 1": (lambda seed: make_friedman1(3000, noise=1.0, random_state=seed), 60, 1000),
}


@pytest.mark.parametrize("elsewhere", [False, True], ids=["alike", "elsewhere"])
@pytest.mark.parametrize("name", TABLES)
def test_fits_with_and_without_unlabelled_rows(name: str, elsewhere: bool, tmp_path: Path) -> None:
    make, known, more = TABLES[name]
    losses, used = [], 0
    for seed in range(SEEDS):
        X, y = make(seed)
        chosen = np.random.default_rng(seed).permutation(len(X))
        X, y = X[chosen], y[chosen]
        others = X[known : known + more]
        if elsewhere:
            others = 2 * X.std(axis=0) + 3 * others
        found = []
        for unlabelled in (None, others):
            settings = load_settings(
                directory=str(tmp_path), learners=LEARNERS, executor="serial", search="random", trackers=()
            )
            metric = "log_loss" if y.dtype.kind == "i" else "rmse"
            engine = AutoML(
                time_limit=None, max_trials=TRIALS, folds=3, seed=seed, n_jobs=1, metric=metric, settings=settings
            )
            engine.fit(X[:known], y[:known], unlabelled=unlabelled)
            found.append(engine.score(X[known + more :], y[known + more :]))
        losses.append(found)
        used += engine.model_.info["unlabelled"]["used"]
    without, with_them = np.array(losses).T
    ratios = with_them / without
    print(
        f"\n{name}{', elsewhere' if elsewhere else ''}: {metric} {without.mean():.4f} without, {with_them.mean():.4f} with, "
        f"used in {used} of {SEEDS}, ratio {np.exp(np.log(ratios).mean()):.3f} ({ratios.min():.3f} to {ratios.max():.3f})",
        end="",
    )
