"""A learner of your own in one file: quadratic discriminant analysis from scikit-learn, beside LightGBM.

python examples/custom_learner.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

from automl import AutoML
from automl_core import BINARY, MULTICLASS, Candidate, Column, Context, Float, Job, Learner, Provider, Space, hookimpl
from automl_core.settings import load_settings
from automl_core.testing.fakes import installed


class Discriminant(Learner):
    """Gives each class a Gaussian; what is missing is 0, and categories are taken as numbers."""

    tasks = frozenset({BINARY, MULTICLASS})

    def space(self, task: str) -> Space:
        return Space({"reg_param": Float(0.001, 1.0, log=True)})

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        return [Candidate({"reg_param": 0.1}, rank=1)]  # a low rank: to be tried among the first

    def fit(self, job: Job) -> Fitted:
        self.space(job.task).check(job.params)
        values, target = job.data.values[job.train], job.data.target[job.train]
        model = QuadraticDiscriminantAnalysis(**job.params)
        return Fitted(model.fit(np.nan_to_num(values), target.astype(int)), job.classes)


@dataclass(frozen=True)
class Fitted:
    model: Any
    classes: int
    rounds: None = None  # it does not fit in rounds

    def predict(self, values: np.ndarray) -> np.ndarray:
        shares = np.zeros((len(values), self.classes))  # a class that no row of this fold has keeps its place
        shares[:, self.model.classes_] = self.model.predict_proba(np.nan_to_num(values))
        return shares


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("discriminant", build, "A Gaussian for each class.")


def build(context: Context) -> Learner:
    return Discriminant()


def main(seconds: float = 20.0) -> None:
    X, y = load_digits(return_X_y=True)
    # Installed for this run only. `automl plugins new discriminant --kind learner` makes what pip installs.
    with installed(Path(tempfile.mkdtemp()), "discriminant", Path(__file__).stem):
        settings = load_settings(executor="threads", learners=("discriminant", "lightgbm"))
        model = AutoML(time_limit=seconds, settings=settings).fit(X[:1300], y[:1300])
    print(model.leaderboard())
    print(f"held-out log loss: {model.score(X[1300:], y[1300:]):.4f}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
