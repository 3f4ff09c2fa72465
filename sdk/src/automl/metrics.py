"""What a study optimises: scikit-learn's metric names, a scorer, or a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from automl_core import BINARY, REGRESSION, SettingsError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["METRICS", "Metric", "pinball_level", "pinball_losses", "resolve_metric", "row_losses"]

Score: TypeAlias = "Callable[[Any, Any, Any], float]"
EPS = 1e-15
PINBALL = "pinball"


@dataclass(frozen=True, slots=True)
class Metric:
    """A score of predictions.

    Attributes:
        score: (target, prediction, weight) -> float. `target` holds numbers or class codes, float64 (rows,);
            `prediction` is what `needs` says; `weight` is float64 (rows,) or None.
        greater: whether a greater score is better.
        optimum: the best score there is; 0 where there is none.
        needs: "number", "probability" (rows, classes), or "label" (class codes).
        tasks: where it makes sense.
        objective: what learners should minimise for it, in `Job.objective`'s words; empty for the usual.
        foreign: whether it is the user's function or scorer, which may take long, or not take a few rows.
    """

    name: str
    score: Score
    greater: bool
    optimum: float
    needs: str
    tasks: frozenset[str]
    objective: str = ""
    foreign: bool = False

    def loss(self, target: NDArray[Any], prediction: NDArray[Any], weight: NDArray[Any] | None = None) -> float:
        """Return what the study minimises; `prediction` is numbers or probabilities, labels are taken here."""
        if self.needs == "label":
            prediction = prediction.argmax(axis=1).astype(float)
        score = float(self.score(target, prediction, weight))
        return self.optimum - score if self.greater else score

    def to_score(self, loss: float) -> float:
        """Return the score, in the metric's own direction, of a loss."""
        return self.optimum - loss if self.greater else loss


def row_losses(target: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
    """Return a smooth loss per row, for paired comparisons: log loss, or squared error."""
    if prediction.ndim == 1:
        return np.asarray((target - prediction) ** 2, dtype=np.float64)
    picked = prediction[np.arange(len(target)), target.astype(np.int64)]
    return np.asarray(-np.log(np.clip(picked, EPS, None), dtype=np.float64))


# ---- classification


def log_loss(target: Any, probability: Any, weight: Any) -> float:
    return float(np.average(row_losses(target, probability), weights=weight))


def roc_auc(target: Any, probability: Any, weight: Any) -> float:
    """Area under the ROC curve; ties count half; one class against the rest, averaged, beyond two classes."""
    if probability.shape[1] == 2:
        return binary_auc(target == 1, probability[:, 1], weight)
    present = [k for k in range(probability.shape[1]) if 0 < (target == k).sum() < len(target)]
    areas = [binary_auc(target == k, probability[:, k], weight) for k in present]
    return float(np.mean(areas)) if areas else 0.5


def binary_auc(positive: Any, score: Any, weight: Any) -> float:
    order = np.argsort(score, kind="stable")
    ranked, hit = score[order], positive[order].astype(np.float64)
    mass = np.ones(len(order)) if weight is None else np.asarray(weight, dtype=np.float64)[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of each run of ties
    positives, negatives = _steps(np.cumsum(mass * hit)[last]), _steps(np.cumsum(mass * (1 - hit))[last])
    total = positives.sum() * negatives.sum()
    if total == 0:
        return 0.5
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / total)


def _steps(total: Any) -> Any:
    """Return what each item of a running total adds."""
    steps = total.copy()
    steps[1:] -= total[:-1]
    return steps


def average_precision(target: Any, probability: Any, weight: Any) -> float:
    from sklearn.metrics import average_precision_score

    if not (target == 1).any():
        return 0.0  # as scikit-learn says, with a warning
    return float(average_precision_score(target == 1, probability[:, 1], sample_weight=weight))


def brier(target: Any, probability: Any, weight: Any) -> float:
    truth = np.zeros_like(probability)
    truth[np.arange(len(target)), target.astype(np.int64)] = 1
    squared = ((probability - truth) ** 2).sum(axis=1)
    return float(np.average(squared, weights=weight)) / (2 if probability.shape[1] == 2 else 1)


def accuracy(target: Any, label: Any, weight: Any) -> float:
    return float(np.average(target == label, weights=weight))


def confusion(target: Any, label: Any, weight: Any) -> NDArray[np.float64]:
    """Return weighted counts, shape (classes, classes), truth by row."""
    size = int(max(target.max(), label.max())) + 1
    cells = target.astype(np.int64) * size + label.astype(np.int64)
    return np.asarray(np.bincount(cells, weights=weight, minlength=size * size).reshape(size, size), dtype=np.float64)


def balanced_accuracy(target: Any, label: Any, weight: Any) -> float:
    table = confusion(target, label, weight)
    there = table.sum(axis=1) > 0
    return float(np.mean(np.diag(table)[there] / table.sum(axis=1)[there]))


def class_f1(target: Any, label: Any, weight: Any) -> NDArray[np.float64]:
    table = confusion(target, label, weight)
    total = table.sum(axis=0) + table.sum(axis=1)
    return np.asarray(np.divide(2 * np.diag(table), total, out=np.full(len(table), np.nan), where=total > 0))


def f1(target: Any, label: Any, weight: Any) -> float:
    scores = class_f1(target, label, weight)
    return float(np.nan_to_num(scores[1])) if len(scores) > 1 else 0.0


def f1_macro(target: Any, label: Any, weight: Any) -> float:
    return float(np.nanmean(class_f1(target, label, weight)))


def f1_weighted(target: Any, label: Any, weight: Any) -> float:
    share = confusion(target, label, weight).sum(axis=1)
    return float(np.average(np.nan_to_num(class_f1(target, label, weight)), weights=share))


def mcc(target: Any, label: Any, weight: Any) -> float:
    """Matthews correlation coefficient, for any number of classes (Gorodkin 2004)."""
    table = confusion(target, label, weight)
    truth, said, total = table.sum(axis=1), table.sum(axis=0), table.sum()
    spread = (total**2 - said @ said) * (total**2 - truth @ truth)
    return float((np.trace(table) * total - truth @ said) / np.sqrt(spread)) if spread > 0 else 0.0


# ---- regression


def mse(target: Any, number: Any, weight: Any) -> float:
    return float(np.average((target - number) ** 2, weights=weight))


def rmse(target: Any, number: Any, weight: Any) -> float:
    return float(np.sqrt(mse(target, number, weight)))


def mae(target: Any, number: Any, weight: Any) -> float:
    return float(np.average(np.abs(target - number), weights=weight))


def median_ae(target: Any, number: Any, weight: Any) -> float:
    return float(np.median(np.abs(target - number)))


def mape(target: Any, number: Any, weight: Any) -> float:
    scale = np.maximum(np.abs(target), np.finfo(np.float64).eps)
    return float(np.average(np.abs(target - number) / scale, weights=weight))


def r2(target: Any, number: Any, weight: Any) -> float:
    spread = np.average((target - np.average(target, weights=weight)) ** 2, weights=weight)
    return 1.0 - mse(target, number, weight) / float(spread) if spread > 0 else 0.0


def pinball_losses(target: Any, number: Any, level: float) -> NDArray[np.float64]:
    """Return the loss of each row that the quantile of this level minimises (Koenker and Bassett 1978)."""
    off = target - number
    return np.asarray(np.maximum(level * off, (level - 1) * off), dtype=np.float64)


def rmsle(target: Any, number: Any, weight: Any) -> float:
    return rmse(np.log1p(np.maximum(target, 0)), np.log1p(np.maximum(number, 0)), weight)


_BINARY, _REGRESSION = frozenset({BINARY}), frozenset({REGRESSION})
_CLASSES = frozenset({BINARY, "multiclass"})

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", roc_auc, True, 1.0, "probability", _CLASSES),
        Metric("log_loss", log_loss, False, 0.0, "probability", _CLASSES),
        Metric("brier", brier, False, 0.0, "probability", _CLASSES),
        Metric("average_precision", average_precision, True, 1.0, "probability", _BINARY),
        Metric("accuracy", accuracy, True, 1.0, "label", _CLASSES),
        Metric("balanced_accuracy", balanced_accuracy, True, 1.0, "label", _CLASSES),
        Metric("f1", f1, True, 1.0, "label", _BINARY),
        Metric("f1_macro", f1_macro, True, 1.0, "label", _CLASSES),
        Metric("f1_weighted", f1_weighted, True, 1.0, "label", _CLASSES),
        Metric("mcc", mcc, True, 1.0, "label", _CLASSES),
        Metric("rmse", rmse, False, 0.0, "number", _REGRESSION),
        Metric("mse", mse, False, 0.0, "number", _REGRESSION),
        Metric("mae", mae, False, 0.0, "number", _REGRESSION, "absolute_error"),
        Metric("median_ae", median_ae, False, 0.0, "number", _REGRESSION, "absolute_error"),
        Metric("mape", mape, False, 0.0, "number", _REGRESSION, "absolute_error"),
        Metric("r2", r2, True, 1.0, "number", _REGRESSION),
        Metric("rmsle", rmsle, False, 0.0, "number", _REGRESSION),
    )
}
ALIASES = {"auc": "roc_auc", "logloss": "log_loss", "cross_entropy": "log_loss", "acc": "accuracy"}
DEFAULTS = {BINARY: "roc_auc", "multiclass": "log_loss", REGRESSION: "rmse"}


def resolve_metric(metric: str | Callable[..., float] | None, task: str) -> Metric:
    """Return the metric of a name ("pinball:0.9" for a quantile), of a scikit-learn scorer (or its name), or of a function.

    A function takes (target, prediction) in the labels or numbers of the data, and greater is better. None
    stands for ROC AUC (binary), log loss (multiclass) or RMSE (regression).

    Raises:
        SettingsError: no such metric, or it is none for this task.
    """
    if metric is None:
        return METRICS[DEFAULTS[task]]
    if not isinstance(metric, str):
        return _from_callable(metric, task)
    if (level := pinball_level(metric)) is not None:
        return _pinball(level, task)
    found = METRICS.get(ALIASES.get(metric, metric))
    if found is None:
        return _from_scorer_name(metric, task)
    if task not in found.tasks:
        known = ", ".join(sorted(name for name, item in METRICS.items() if task in item.tasks))
        raise SettingsError(f"metric {metric!r} is none for {task}; there are: {known}.")
    return found


def pinball_level(metric: str) -> float | None:
    """Return the quantile that a metric's name asks for, such as 0.9 of "pinball:0.9"; None for any other metric.

    Raises:
        SettingsError: the level is none from 0.001 to 0.999.
    """
    word, _, text = metric.partition(":")
    if word != PINBALL:
        return None
    try:
        level = float(text)
    except ValueError:
        level = math.nan
    if not 0.001 <= level <= 0.999:
        raise SettingsError(f"metric {metric!r} names no quantile: write one from 0.001 to 0.999, such as pinball:0.9.")
    return level


def _pinball(level: float, task: str) -> Metric:
    if task != REGRESSION:
        raise SettingsError(f"metric {PINBALL}:{level:g} is none for {task}: classes have no quantiles.")

    def score(target: Any, number: Any, weight: Any) -> float:
        return float(np.average(pinball_losses(target, number, level), weights=weight))

    return Metric(f"{PINBALL}:{level:g}", score, False, 0.0, "number", _REGRESSION, f"quantile:{level:g}")


def _from_scorer_name(name: str, task: str) -> Metric:
    from sklearn.metrics import get_scorer, get_scorer_names

    try:
        scorer = get_scorer(name)
    except ValueError:
        known = [*METRICS, PINBALL, *get_scorer_names()]
        raise SettingsError(f"unknown metric {name!r}.{did_you_mean(name, known)}") from None
    return _from_callable(scorer, task, name=name)


def _from_callable(metric: Any, task: str, name: str = "") -> Metric:
    name = name or str(getattr(metric, "__name__", type(metric).__name__))
    tasks = frozenset({task})
    if hasattr(metric, "_score_func"):  # a scikit-learn scorer

        def score(target: Any, prediction: Any, weight: Any) -> float:
            given = {} if weight is None else {"sample_weight": weight}
            return float(metric(_Answers(prediction), np.empty((len(target), 0)), target, **given))

        needs = "number" if task == REGRESSION else "probability"
        return Metric(name, score, True, 0.0, needs, tasks, foreign=True)

    def plain(target: Any, prediction: Any, weight: Any) -> float:
        return float(metric(target, prediction))

    return Metric(name, plain, True, 0.0, "number" if task == REGRESSION else "label", tasks, foreign=True)


class _Answers:
    """Stands in for an estimator whose predictions are there already, as scikit-learn's scorers want one."""

    def __init__(self, prediction: NDArray[Any]) -> None:
        self._prediction = prediction
        self._estimator_type = "regressor" if prediction.ndim == 1 else "classifier"
        if prediction.ndim == 2:
            self.classes_ = np.arange(prediction.shape[1], dtype=np.float64)

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, RegressorTags, Tags, TargetTags

        kinds = {"regressor_tags": RegressorTags(), "classifier_tags": ClassifierTags()}
        return Tags(estimator_type=self._estimator_type, target_tags=TargetTags(required=True), **kinds)

    def fit(self, X: Any, y: Any) -> _Answers:
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        return self._prediction if self._prediction.ndim == 1 else self.classes_[self._prediction.argmax(axis=1)]

    def predict_proba(self, X: Any) -> NDArray[Any]:
        return self._prediction
