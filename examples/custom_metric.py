"""Optimise what matters to you: a function of labels, or any scorer of scikit-learn.

python examples/custom_metric.py
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer

from automl import AutoML


def saved_euros(truth: np.ndarray, said: np.ndarray) -> float:
    """A tumour that is missed (truth 0, said 1) costs a hundred times as much as a false alarm."""
    missed = np.sum((truth == 0) & (said == 1))
    false_alarms = np.sum((truth == 1) & (said == 0))
    return -float(100 * missed + false_alarms) / len(truth)


def main(seconds: float = 15.0) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    for metric in (saved_euros, "balanced_accuracy", "neg_brier_score"):
        model = AutoML(time_limit=seconds / 3, metric=metric).fit(X[:400], y[:400])
        print(f"{model.model_.metric}: {model.score(X[400:], y[400:]):.4f}, threshold {model.model_.threshold:.2f}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
