"""The learner `linear`: logistic and ridge regression, the cheap member that trees are least like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_core import TASKS, Additive, Candidate, Choice, Column, Float, Int, Job, Learner, Scalar, Space
from automl_sklearn.additive import evaluate
from automl_sklearn.design import Design, fit_design
from automl_sklearn.penalty import PENALTIES, TINY, Coefficients, Sample, cross_validate, loss_of, walk
from automl_sklearn.rows import Clock, Rows, blas_threads, choose, refuse_monotone, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Linear", "LinearModel"]

DEFAULTS: Mapping[str, Scalar] = {"levels": 50, "min_count": 3, "tails": 0.005, "penalty": "path"}
FEW, MANY = 50, 20_000  # rows below which a holdout says nothing, and above which one says enough
CELLS = 100_000_000  # rows x inputs x outputs; more rows than that make a linear model slower, not better
MANY_LEVELS = 50  # categories with more levels go better as target encodings


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """A fitted model; has no rounds."""

    flat: Additive
    rounds: int | None = None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        return evaluate(self.flat, values)

    def export(self) -> Additive:
        return self.flat


class Linear(Learner):
    """L2-penalised regression of the usual loss of each task on standardised numbers and indicators.

    The penalty is chosen on the job's valid rows, or by cross-validation where it has none.
    """

    tasks = TASKS

    def space(self, task: str) -> Space:
        return Space(
            {
                "levels": Int(5, 200, log=True),
                "min_count": Int(1, 50, log=True),
                "tails": Float(1e-4, 0.05, log=True),
                "penalty": Choice(("path", "default")),
            }
        )

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        if any(column.monotone for column in columns):
            return ()
        many = any(column.categories > MANY_LEVELS for column in columns)
        return (Candidate({}, rank=3, view="encoded" if many else "base"),)

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        kept = min(rows, CELLS // max(1, columns * max(1, classes)))
        return kept * (20 * columns + 32 * max(1, classes))

    def fit(self, job: Job) -> LinearModel:
        clock = Clock(job.seconds)
        params = choose(self.space(job.task), job.params, DEFAULTS)
        refuse_monotone(job.data.columns, "sklearn.linear")
        outputs = job.classes if job.task == "multiclass" else 1
        rows = take(job, limit=max(1000, CELLS // (outputs * max(1, len(job.data.columns)))))
        design = fit_design(
            rows.values,
            job.data.columns,
            levels=int(params["levels"] or 0),
            min_count=int(params["min_count"] or 0),
            tails=float(params["tails"] or 0.0),
        )
        mean, deviation = _scale_of(rows) if job.task == "regression" else (0.0, 1.0)
        with blas_threads(job.threads):
            sample = _sample(design, rows, job, mean, deviation)
            found = _search(design, sample, job, clock, mean, deviation, path=params["penalty"] == "path")
        return LinearModel(_additive(design, found, job, mean, deviation))


def _scale_of(rows: Rows) -> tuple[float, float]:
    mean = float(np.average(rows.target, weights=rows.weight))
    deviation = float(np.sqrt(np.average((rows.target - mean) ** 2, weights=rows.weight)))
    return mean, deviation or 1.0


def _sample(design: Design, rows: Rows, job: Job, mean: float, deviation: float) -> Sample:
    weight = np.ones(len(rows.target)) if rows.weight is None else rows.weight
    if job.task == "multiclass":
        target = np.equal.outer(rows.labels, np.arange(job.classes)).astype(np.float64)
    else:
        target = ((rows.target - mean) / deviation)[:, None]
    return Sample(design.apply(rows.values), target, weight / max(float(weight.sum()), TINY))


def _search(
    design: Design, sample: Sample, job: Job, clock: Clock, mean: float, deviation: float, *, path: bool
) -> Coefficients:
    """Fit at the best penalty of the path, or at 1 / rows, which is scikit-learn's C = 1."""
    loss, start, rows = loss_of(job.task), _start(sample, job.task), len(sample.target)
    if not path or (job.valid is None and rows < FEW):
        return walk(sample, loss, start, clock, penalties=(1.0, 1.0 / rows)).best
    if job.valid is not None:
        data = job.data
        watched = Rows(data.values, data.target, data.weight).subset(job.valid)
        watch = _sample(design, watched, job, mean, deviation)
        return walk(sample, loss, start, clock, watch=watch).best
    order = np.random.default_rng(job.seed).permutation(rows)
    penalty = cross_validate(sample, loss, start, clock, order, folds=4 if rows <= MANY else 1)
    path_to_it = [step for step in PENALTIES if step >= penalty]
    return walk(sample, loss, start, clock, penalties=path_to_it).best


def _start(sample: Sample, task: str) -> Coefficients:
    """No weights, and the intercept that fits best without any."""
    mean = sample.weight @ sample.target
    intercept = mean if task == "regression" else np.log(np.maximum(mean, 1e-9))
    if task == "binary":
        intercept = intercept - np.log(np.maximum(1 - mean, 1e-9))
    return Coefficients(np.zeros((sample.inputs.width, sample.target.shape[1])), intercept)


def _additive(design: Design, found: Coefficients, job: Job, mean: float, deviation: float) -> Additive:
    """Fold scaling, filling and indicators into contributions of the encoded columns."""
    columns, outputs = len(job.data.columns), len(found.intercept)
    k, dense = len(design.numbers), len(design.numbers) + len(design.flags)
    weight, missing = np.zeros((columns, outputs)), np.zeros((columns, outputs))
    low, high = np.full(columns, -np.inf), np.full(columns, np.inf)
    start = np.full(columns, -1, dtype=np.int32)
    slope = found.weights[:k] / design.scale[:, None]
    weight[design.numbers] = slope
    missing[design.numbers] = slope * design.fill[:, None]
    missing[design.numbers[design.flags]] += found.weights[k:dense]
    low[design.numbers], high[design.numbers] = design.low, design.high
    # One more row, of zeros, is what slot -1 takes.
    indicators = np.concatenate([found.weights[dense:], np.zeros((1, outputs))])
    table = indicators[design.slots]
    start[design.categories] = design.starts[:-1]
    missing[design.categories] = table[design.starts[1:] - 1]
    base = found.intercept - design.center @ slope
    scale = deviation if job.task == "regression" else 1.0
    return Additive(
        columns=columns,
        weight=weight,
        missing=missing,
        low=low,
        high=high,
        table=table,
        table_start=start,
        base=base * scale + mean,
        link={"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}[job.task],
        scale=scale,
    )
