"""The learners `random_forest` and `extra_trees`, grown in batches within a wall clock and a size for serving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from automl_core import REGRESSION, TASKS, Candidate, Choice, Column, Float, Forest, Int, Job, Learner, Scalar, Space
from automl_sklearn.flatten import join, tree_of_estimator
from automl_sklearn.rows import Clock, Rows, choose, refuse_monotone, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ExtraTrees", "ForestModel", "RandomForest"]

TREES = 150
NODES = 400_000  # of a whole forest: 13 MB flat, and the leaves within the caches of a server
LEAF_NUMBERS = 1_500_000  # of all leaves: 12 MB, which binds with many classes
MAX_ROWS = 100_000  # that each tree sees
SMALL = 20_000  # rows up to which a forest is cheap enough for every ensemble
SHARE, WIDE = 0.7, 150  # of the columns tried at each split, and how many of them where a table has very many
PROBE_ABOVE, PROBE_ROWS = 20_000, 2_000
ABSOLUTE_ROWS = 20_000  # above which trees on absolute errors take too long


@dataclass(frozen=True, slots=True, eq=False)
class ForestModel:
    """A fitted forest; its rounds are its trees."""

    estimator: Any
    rounds: int

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(values), dtype=np.float64)
        return np.asarray(self.estimator.predict(values), dtype=np.float64)

    def export(self) -> Forest:
        trees = [tree_of_estimator(estimator.tree_) for estimator in self.estimator.estimators_]
        width = trees[0].values.shape[1]
        return join(
            trees,
            np.zeros(len(trees), dtype=np.int32),
            np.zeros(width),
            columns=int(self.estimator.n_features_in_),
            link="probability" if hasattr(self.estimator, "predict_proba") else "identity",
            scale=1.0 / len(trees),
        )


class _Bagged(Learner):
    """What the two forests share. Missing values are split natively; categories go by their rank in frequency."""

    tasks = TASKS
    objectives = frozenset({"absolute_error"})
    name: ClassVar[str]
    classifier: ClassVar[type[Any]]
    regressor: ClassVar[type[Any]]
    ranks: ClassVar[tuple[float, float]]

    def __init__(self, *, trees: int = TREES) -> None:
        self._trees = trees

    def space(self, task: str) -> Space:
        dimensions: dict[str, Any] = {
            "max_features": Float(0.1, 1.0),
            "min_samples_leaf": Int(1, 50, log=True),
        }
        if task != REGRESSION:
            dimensions["criterion"] = Choice(("gini", "entropy"))
        return Space(dimensions)

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        if any(column.monotone for column in columns):
            return ()
        return (Candidate({}, rank=self.ranks[rows > SMALL]),)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        nodes = self._trees * 2 * min(rows, _leaves(self._trees, classes))
        return 8 * rows * columns + 24 * min(rows, MAX_ROWS) + nodes * (64 + 8 * max(1, classes))

    def fit(self, job: Job) -> ForestModel:
        clock = Clock(job.seconds)
        params = choose(self.space(job.task), job.params, {"min_samples_leaf": 1})
        refuse_monotone(job.data.columns, f"sklearn.{self.name}")
        rows = take(job)
        trees = job.rounds or self._trees
        estimator = self._estimator(job, rows, params, trees)
        if len(rows.target) > PROBE_ABOVE and job.seconds is not None:
            _limit_rows(estimator, rows, clock, classification=job.task != REGRESSION)
        done = _grow(estimator, rows, clock, trees, classification=job.task != REGRESSION)
        return ForestModel(estimator, done)

    def _estimator(self, job: Job, rows: Rows, params: Mapping[str, Scalar], trees: int) -> Any:
        count = len(rows.target)
        share = MAX_ROWS / count if count > MAX_ROWS else None
        kind = self.regressor if job.task == REGRESSION else self.classifier
        usual = "gini"
        if job.task == REGRESSION:
            absolute = job.objective == "absolute_error" and count <= ABSOLUTE_ROWS
            usual = "absolute_error" if absolute else "squared_error"
        return kind(
            criterion=params.get("criterion", usual),
            max_features=params.get("max_features", _share(len(job.data.columns))),
            min_samples_leaf=params["min_samples_leaf"],
            max_leaf_nodes=_leaves(trees, job.classes),
            bootstrap=kind in (RandomForestClassifier, RandomForestRegressor) or share is not None,
            max_samples=share,
            n_jobs=job.threads,
            random_state=job.seed,
            warm_start=True,
        )


class RandomForest(_Bagged):
    """Bagged trees, each on a bootstrap sample and the best split of some columns."""

    name = "random_forest"
    classifier, regressor = RandomForestClassifier, RandomForestRegressor
    ranks = (8.0, 40.0)


class ExtraTrees(_Bagged):
    """Trees on all rows, each split drawn at random for some columns."""

    name = "extra_trees"
    classifier, regressor = ExtraTreesClassifier, ExtraTreesRegressor
    ranks = (5.0, 30.0)


def _share(columns: int) -> float:
    """Return the default of max_features; 0.7 beat the square root, 0.4 and 1.0 on eight of nine small tables."""
    return min(SHARE, max(WIDE / columns, 1 / math.sqrt(columns)))


def _leaves(trees: int, classes: int) -> int:
    """Return how many leaves a tree may have for the whole forest to stay within its size."""
    return max(8, min(NODES // 2, LEAF_NUMBERS // max(1, classes)) // trees)


def _limit_rows(estimator: Any, rows: Rows, clock: Clock, *, classification: bool) -> None:
    """Let each tree see so few rows that a tenth of the time left pays for it, judged by one tree on few rows."""
    before, count = clock.left, len(rows.target)
    probe = rows.subset(np.arange(0, count, count // PROBE_ROWS))
    single = clone(estimator).set_params(n_estimators=1, max_samples=None, n_jobs=1, warm_start=False)
    single.fit(probe.values, probe.labels if classification else probe.target, sample_weight=probe.weight)
    each = (before - clock.left) / len(probe.target)  # seconds a row; the logarithm of the rows is left aside
    affordable = int(0.1 * max(clock.left, 0.0) / each)
    seen = count if estimator.max_samples is None else int(estimator.max_samples * count)
    if affordable < seen:
        estimator.set_params(bootstrap=True, max_samples=max(affordable, PROBE_ROWS) / count)


def _grow(estimator: Any, rows: Rows, clock: Clock, trees: int, *, classification: bool) -> int:
    """Grow up to `trees` trees, in batches that fit the time left, at least one; return how many."""
    target = rows.labels if classification else rows.target
    done, batch = 0, max(1, estimator.n_jobs)
    started = clock.left
    while done < trees:
        estimator.n_estimators = min(trees, done + batch)
        estimator.fit(rows.values, target, sample_weight=rows.weight)
        done = estimator.n_estimators
        if started == float("inf"):
            batch = trees
            continue
        each = max(started - clock.left, 1e-6) / done
        batch = min(int(0.5 * clock.left / each), 2 * done)
        if batch < 1:
            break
    return done
