"""Fit on a Ray cluster, or on a Ray of this machine where none is named: the same call, another setting.

python examples/ray_cluster.py [SECONDS [ray://HOST:10001]]
"""

from __future__ import annotations

import sys

from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl_core.settings import load_settings


def main(seconds: str = "300", address: str | None = None) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    settings = load_settings(
        executor="ray", learners=("lightgbm", "sklearn"), plugins={"ray": {"address": address, "retries": 2}}
    )
    model = AutoML(time_limit=float(seconds), max_trials=6, settings=settings).fit(X[:400], y[:400])
    print(model.leaderboard())
    print(f"held-out ROC AUC: {model.score(X[400:], y[400:]):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
