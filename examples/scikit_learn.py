"""The engine as one step of scikit-learn's own tools.

python examples/scikit_learn.py
"""

from __future__ import annotations

import sys

from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from automl import AutoMLRegressor


def main(seconds: float = 15.0) -> None:
    X, y = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(QuantileTransformer(n_quantiles=100), AutoMLRegressor(time_limit=seconds / 3))
    print("R2 of three folds:", cross_val_score(pipeline, X, y, cv=3).round(3))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
