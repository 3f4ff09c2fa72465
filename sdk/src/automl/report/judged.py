"""Rows with their truth and what was said of them, and how well that scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import DEFAULTS, METRICS, Metric, resolve_metric
from automl.report.evidence import mark_rows
from automl.target import TargetCoder
from automl_core import BINARY, REGRESSION, DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from automl.model import Model
    from automl.report.evidence import Evidence

__all__ = ["HELD_OUT", "OUT_OF_FOLD", "Judged", "Score", "judge", "known_metric", "metrics_of", "overlap"]

OUT_OF_FOLD, HELD_OUT = "out of fold", "held out"
RESAMPLES = 200
MAX_ROWS = 20_000  # that are resampled, and whose reliance on columns is measured
OTHERS = {
    BINARY: ("roc_auc", "log_loss", "brier", "accuracy", "balanced_accuracy", "f1"),
    "multiclass": ("log_loss", "roc_auc", "accuracy", "balanced_accuracy", "f1_macro"),
    REGRESSION: ("rmse", "mae", "median_ae", "r2"),
}


@dataclass(frozen=True, slots=True)
class Score:
    """A score with its 95 % interval; `low` and `high` are None where rows are too few for one."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Judged:
    """Rows that the model was judged by.

    Attributes:
        name: `OUT_OF_FOLD` or `HELD_OUT`.
        target: float64 (rows,), numbers or class codes. prediction: numbers (rows,) or probabilities (rows, classes).
        rows: int64 (rows,), places in the table that they are from.
        table: the same rows as they came; None where they are not at hand.
    """

    name: str
    model: Model
    target: NDArray[np.float64]
    prediction: NDArray[np.float64]
    rows: NDArray[np.int64]
    table: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.target)

    @cached_property
    def encoded(self) -> NDArray[np.float32]:
        """The rows as the ensemble reads them, float32 (rows, columns)."""
        if self.table is None:
            raise DataError("the rows themselves are not at hand.")
        return self.model.encoder.encode(self.table)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class codes as the model decides them, by its threshold where there are two classes."""
        if self.model.task == BINARY:
            return np.asarray(self.prediction[:, 1] >= self.model.threshold, dtype=np.int64)
        return np.asarray(self.prediction.argmax(axis=1), dtype=np.int64)

    def said(self, metric: Metric) -> NDArray[np.float64]:
        """Return what a metric is to judge: labels as the model decides them, otherwise its predictions."""
        if metric.needs != "label":
            return self.prediction
        return np.eye(self.prediction.shape[1])[self.labels]

    def score(self, metric: Metric, chosen: NDArray[np.bool_] | None = None) -> Score:
        """Return a metric's score of all or the chosen rows, with a percentile bootstrap over them (Efron 1979)."""
        if chosen is None:
            if metric.name not in self._scores:
                self._scores[metric.name] = self._score(metric, slice(None))
            return self._scores[metric.name]
        return self._score(metric, chosen)

    @cached_property
    def _scores(self) -> dict[str, Score]:
        return {}

    def _score(self, metric: Metric, chosen: NDArray[np.bool_] | slice) -> Score:
        target, said = self.target[chosen], self.said(metric)[chosen]
        value, rows = metric.to_score(metric.loss(target, said)), len(target)
        rng = np.random.default_rng(0)
        if rows > MAX_ROWS:
            few = rng.choice(rows, MAX_ROWS, replace=False)
            target, said = target[few], said[few]
        found = []
        for _ in range(RESAMPLES if len(target) > 1 else 0):
            drawn = rng.integers(0, len(target), len(target))
            # A resample of one class has no ROC curve: it says nothing of the score's spread.
            if self.model.task == REGRESSION or len(np.unique(target[drawn])) > 1:
                found.append(metric.to_score(metric.loss(target[drawn], said[drawn])))
        if len(found) < RESAMPLES // 2:
            return Score(value, None, None)
        # Of fewer rows the scores spread more, by the root of how many fewer (Politis and Romano 1994).
        low, high = value + (np.nanpercentile(found, [2.5, 97.5]) - value) * np.sqrt(len(target) / rows)
        return Score(value, float(low), float(high))

    def sample(self) -> Judged:
        """Return at most `MAX_ROWS` of the rows, at random."""
        if len(self) <= MAX_ROWS:
            return self
        few = np.sort(np.random.default_rng(0).choice(len(self), MAX_ROWS, replace=False))
        table = None if self.table is None else self.table.take(few)
        return Judged(self.name, self.model, self.target[few], self.prediction[few], self.rows[few], table)


def known_metric(model: Model) -> Metric:
    """Return the metric that the model was chosen by, or the usual one of its task for a function of the user's."""
    try:
        return resolve_metric(model.metric, model.task)
    except SettingsError:
        return METRICS[DEFAULTS[model.task]]


def metrics_of(model: Model) -> list[Metric]:
    """Return the metrics that a report shows, first the one that the model was chosen by."""
    first = known_metric(model)
    return [first, *(METRICS[name] for name in OTHERS[model.task] if name != first.name)]


def judge(model: Model, data: Any = None, *, sample: pa.Table | None = None) -> list[Judged]:
    """Return what the model can be judged by: out-of-fold predictions, then held-out rows.

    Args:
        data: a table with the target. The training table is known again: its rows go with the out-of-fold predictions;
            any other is taken for held-out rows.
        sample: the rows of the model's evidence, in its order.

    Raises:
        DataError: the table has no target, or there is nothing to judge by.
    """
    found, evidence = [], model.evidence
    held_out = None
    if data is not None:
        table, target = _open(model, data)
        if evidence is not None and _is_training(model, evidence, table, target):
            sample = table.take(evidence.rows)
        else:
            held_out = Judged(HELD_OUT, model, target, _predict(model, table), np.arange(len(target)), table)
    if evidence is not None:
        prediction = evidence.prediction.astype(np.float64)
        found.append(Judged(OUT_OF_FOLD, model, evidence.target, prediction, evidence.rows, sample))
    if held_out is not None:
        found.append(held_out)
    return found


def _open(model: Model, data: Any) -> tuple[pa.Table, NDArray[np.float64]]:
    from automl.table import open_table

    table = open_table(data)
    if model.target not in table.column_names:
        raise DataError(f"the data has no column {model.target!r}: a report judges rows whose target is known.")
    classes = () if model.task == REGRESSION else tuple(model.classes_.tolist())
    target = TargetCoder(model.target, model.task, classes).encode(table[model.target])
    known = np.isfinite(target)
    if not known.any():
        raise DataError(f"no row of the data has a value of {model.target!r}.")
    return table.filter(known).drop_columns([model.target]), target[known]


def _is_training(model: Model, evidence: Evidence, table: pa.Table, target: NDArray[np.float64]) -> bool:
    rows = evidence.rows
    if len(target) != model.info.get("rows") or not np.array_equal(target[rows], evidence.target):
        return False
    return np.array_equal(mark_rows(model.encoder.encode(table.take(rows)), evidence.target), evidence.marks)


def _predict(model: Model, table: pa.Table) -> NDArray[np.float64]:
    ask: Callable[[Any], NDArray[Any]] = model.predict if model.task == REGRESSION else model.predict_proba
    return np.asarray(ask(table), dtype=np.float64)


def overlap(model: Model, judged: Judged) -> tuple[float, float]:
    """Return the share of known training rows that have a twin among the judged, and the share with one among themselves."""
    if model.evidence is None or judged.table is None:
        return 0.0, 0.0
    marks = model.evidence.marks
    _, counts = np.unique(marks, return_counts=True)
    found = [
        mark_rows(model.encoder.encode(judged.table.slice(start, MAX_ROWS)), judged.target[start : start + MAX_ROWS])
        for start in range(0, len(judged), MAX_ROWS)
    ]
    there = np.isin(marks, np.concatenate(found))
    return float(there.mean()), float(counts[counts > 1].sum() / len(marks))
