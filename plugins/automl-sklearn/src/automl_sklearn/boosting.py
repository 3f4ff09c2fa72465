"""The learner `hist_gradient_boosting`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from automl_core import REGRESSION, TASKS, Candidate, Column, Float, Forest, Int, Job, Learner, Scalar, Space
from automl_sklearn.flatten import Tree, join, round_down
from automl_sklearn.rows import Clock, Rows, choose, refuse_monotone, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BoostedModel", "HistGradientBoosting"]

DEFAULTS: Mapping[str, Scalar] = {
    "learning_rate": 0.06,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "max_features": 0.8,
}
MAX_ROUNDS = 2000
BLIND_ROUNDS = 100  # without rows to watch and without a number of rounds
PATIENCE = 40
MAX_CATEGORIES = 255  # scikit-learn's limit; a column with more goes by its codes' rank in frequency
CHUNK = 50_000  # rows that are predicted at once


@dataclass(frozen=True, slots=True, eq=False)
class BoostedModel:
    """A fitted model that predicts with its first `rounds` rounds.

    Attributes:
        estimator: holds all rounds that were fitted.
        columns: of the encoded table.
    """

    estimator: Any
    columns: tuple[Column, ...]
    rounds: int
    curve: tuple[float, ...]
    threads: int = 1

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        if not len(values):
            return np.empty((0, len(self.estimator.classes_)) if hasattr(self.estimator, "classes_") else 0)
        used = _first(self.estimator, self.rounds)
        predict = used.predict_proba if hasattr(used, "predict_proba") else used.predict
        with threadpool_limits(limits=self.threads, user_api="openmp"):
            parts = [predict(values[start : start + CHUNK]) for start in range(0, len(values), CHUNK)]
        return np.concatenate(parts).astype(np.float64, copy=False)

    def cut(self, rounds: int) -> BoostedModel:
        return BoostedModel(self.estimator, self.columns, rounds, self.curve, self.threads)

    def export(self) -> Forest:
        used = _first(self.estimator, self.rounds)
        order, codes = _layout(used, len(self.columns))
        rounds = [[_read(tree, order, codes, self.columns) for tree in trees] for trees in used._predictors]
        each = len(rounds[0])
        link = "identity" if not hasattr(used, "classes_") else "sigmoid" if each == 1 else "softmax"
        return join(
            [tree for trees in rounds for tree in trees],
            np.tile(np.arange(each, dtype=np.int32), len(rounds)),
            np.asarray(used._baseline_prediction, dtype=np.float64).reshape(-1),
            columns=len(self.columns),
            link=link,
            scale=1.0,
        )


class HistGradientBoosting(Learner):
    """Gradient boosting on binned columns, with native categories and missing values, stopped on the valid rows."""

    tasks = TASKS
    objectives = frozenset({"absolute_error", "quantile"})

    def space(self, task: str) -> Space:
        return Space(
            {
                "learning_rate": Float(0.005, 0.3, log=True),
                "max_leaf_nodes": Int(4, 128, log=True),
                "min_samples_leaf": Int(2, 100, log=True),
                "l2_regularization": Float(1e-4, 100.0, log=True),
                "max_features": Float(0.3, 1.0),
            }
        )

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        if task == "multiclass" and any(column.monotone for column in columns):
            return ()
        small: dict[str, Scalar] = {"max_leaf_nodes": 8, "min_samples_leaf": 5} if rows < 2000 else {}
        return (Candidate(small, rank=60),)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        trees = classes if classes > 2 else 1
        return rows * (18 * columns + 40 * trees) + 500 * trees * 31 * 64

    def fit(self, job: Job) -> BoostedModel:
        clock = Clock(job.seconds)
        params = choose(self.space(job.task), job.params, DEFAULTS)
        rows = take(job)
        # scikit-learn's binning refuses a column without any value; one of zeros is as useless.
        rows.values[:, np.isnan(rows.values).all(axis=0)] = 0.0
        columns = job.data.columns
        estimator = _estimator(job, params)
        watched = _watched(job)
        most = job.rounds or (MAX_ROUNDS if watched is not None else BLIND_ROUNDS)
        with threadpool_limits(limits=job.threads, user_api="openmp"):
            _boost(estimator, rows, watched, clock, most, classification=job.task != REGRESSION)
        # The first score is that of the model without any trees.
        curve = tuple(-estimator.validation_score_[1:].astype(float)) if watched is not None else ()
        best = estimator.n_iter_ if job.rounds or not curve else int(np.argmin(curve)) + 1
        return BoostedModel(estimator, columns, best, tuple(map(float, curve)), job.threads)


def _estimator(job: Job, params: Mapping[str, Scalar]) -> Any:
    columns = job.data.columns
    categorical = [0 < column.categories <= MAX_CATEGORIES for column in columns]
    monotone = [column.monotone for column in columns]
    shared: dict[str, Any] = {
        **params,
        "categorical_features": categorical if any(categorical) else None,
        "monotonic_cst": monotone if any(monotone) else None,
        "early_stopping": job.valid is not None,
        "n_iter_no_change": job.rounds or PATIENCE,
        "tol": 0.0,
        "scoring": "loss",
        "warm_start": True,
        "random_state": job.seed,
    }
    if job.task != REGRESSION:
        return HistGradientBoostingClassifier(loss="log_loss", **shared)
    word, _, level = job.objective.partition(":")
    # Leaves of absolute errors and quantiles are set anew after each tree, which a monotone column does not survive.
    if word == "quantile":
        refuse_monotone(columns, "sklearn.hist_gradient_boosting", able="catboost keeps it for quantiles.")
        return HistGradientBoostingRegressor(loss="quantile", quantile=float(level or 0.5), **shared)
    return HistGradientBoostingRegressor(
        loss="absolute_error" if word == "absolute_error" and not any(monotone) else "squared_error", **shared
    )


def _watched(job: Job) -> Rows | None:
    if job.valid is None:
        return None
    return Rows(job.data.values, job.data.target, job.data.weight).subset(job.valid)


def _boost(estimator: Any, rows: Rows, watched: Rows | None, clock: Clock, most: int, *, classification: bool) -> None:
    """Fit rounds until `most`, the early stop or the time.

    scikit-learn takes no callback here, so with a clock it grows in batches that at most double: each batch bins
    the rows again and predicts them with the rounds so far, which in all costs as much as fitting once.
    """
    extra: dict[str, Any] = {}
    if watched is not None:
        target = watched.labels if classification else watched.target
        extra = {"X_val": watched.values, "y_val": target}
        if rows.weight is not None:
            given = watched.weight if watched.weight is not None else np.ones(len(target))
            extra["sample_weight_val"] = given
    started, done = clock.left, 0
    batch = most if started == float("inf") else 1
    while done < most:
        estimator.max_iter = min(most, done + batch)
        before = clock.left
        estimator.fit(rows.values, rows.labels if classification else rows.target, sample_weight=rows.weight, **extra)
        grown, done = estimator.n_iter_ - done, estimator.n_iter_
        if done < estimator.max_iter:
            return
        each = max(before - clock.left, 1e-6) / grown
        batch = min(int(0.5 * clock.left / each), 2 * done) if started != float("inf") else batch
        if batch < 1:
            return


def _first(estimator: Any, rounds: int) -> Any:
    if rounds == len(estimator._predictors):
        return estimator
    part = copy(estimator)
    part._predictors = estimator._predictors[:rounds]
    return part


# ---- export


def _layout(estimator: Any, columns: int) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
    """Return the encoded column of each of scikit-learn's, and the codes that it numbers in each.

    With categories scikit-learn moves these to the front and numbers the codes that it saw from 0 on.
    """
    if estimator._preprocessor is None:
        return np.arange(columns), [np.empty(0, dtype=np.int64)] * columns
    categorical = np.asarray(estimator.is_categorical_, dtype=bool)
    order = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    seen = estimator._preprocessor.named_transformers_["encoder"].categories_
    codes = [values[~np.isnan(values)].astype(np.int64) for values in seen]
    return order, codes + [np.empty(0, dtype=np.int64)] * int((~categorical).sum())


def _read(tree: Any, order: NDArray[np.int64], codes: list[NDArray[np.int64]], columns: Sequence[Column]) -> Tree:
    nodes = tree.nodes
    leaf, categorical = nodes["is_leaf"].astype(bool), nodes["is_categorical"].astype(bool)
    missing_left = nodes["missing_go_to_left"].astype(bool)
    feature = np.where(leaf, -1, order[np.where(leaf, 0, nodes["feature_idx"])])
    words = np.zeros(len(nodes), dtype=np.int32)
    bits = [np.empty(0, dtype=np.uint32)]
    for n in np.flatnonzero(categorical & ~leaf):
        known = codes[nodes["feature_idx"][n]]
        left = _unpack(tree.raw_left_cat_bitsets[nodes["bitset_idx"][n]])[: len(known)]
        # A code that training lacked is missing to scikit-learn.
        side = np.full(columns[feature[n]].categories, missing_left[n])
        side[known] = left
        bits.append(_pack(side))
        words[n] = len(bits[-1])
    return Tree(
        feature=feature.astype(np.int32),
        threshold=round_down(np.where(leaf | categorical, 0.0, nodes["num_threshold"])),
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=missing_left & ~leaf,
        values=nodes["value"][:, None],
        cover=nodes["count"].astype(np.float32),
        gain=np.where(leaf, 0.0, np.maximum(nodes["gain"], 0.0)).astype(np.float32),
        words=words,
        bits=np.concatenate(bits),
    )


def _unpack(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little").astype(bool)


def _pack(side: NDArray[np.bool_]) -> NDArray[np.uint32]:
    padded = np.zeros(-(-len(side) // 32) * 32, dtype=bool)
    padded[: len(side)] = side
    return np.packbits(padded, bitorder="little").view("<u4").astype(np.uint32)
