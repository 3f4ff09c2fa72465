"""What is minimised, in scikit-learn's words and in XGBoost's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import MULTICLASS, REGRESSION, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Job

__all__ = ["level", "parameters"]

# Objective and metric.
WORDS = {
    "binary": ("binary:logistic", "logloss"),
    "multiclass": ("multi:softprob", "mlogloss"),
    "squared_error": ("reg:squarederror", "rmse"),
    "absolute_error": ("reg:absoluteerror", "mae"),
    "quantile": ("reg:quantileerror", "quantile"),
}


def parameters(job: Job) -> dict[str, Any]:
    """Return XGBoost's parameters for a job's task and objective.

    Leaves of absolute errors and quantiles are set anew after each tree, which a monotone column does not survive.
    """
    word = job.task if job.task != REGRESSION else "squared_error"
    quantile = _quantile(job.objective) if job.task == REGRESSION else None
    monotone = [column.name for column in job.data.columns if column.monotone]
    if quantile is not None and monotone:
        raise DataError(f"xgboost cannot keep a quantile monotone in {monotone[0]!r}; catboost can.")
    if quantile is not None:
        word = "quantile"
    elif job.task == REGRESSION and job.objective == "absolute_error" and not monotone:
        word = "absolute_error"
    objective, metric = WORDS[word]
    params: dict[str, Any] = {"objective": objective, "eval_metric": metric}
    if quantile is not None:
        params["quantile_alpha"] = quantile
    if job.task == MULTICLASS:
        params["num_class"] = job.classes
    return params


def level(target: NDArray[np.float64], weight: NDArray[np.float64], objective: str) -> float:
    """Return the constant that minimises an objective: the weighted mean, or a weighted quantile."""
    if weight.sum() <= 0:
        weight = np.ones(len(target))
    share = 0.5 if objective == "absolute_error" else _quantile(objective)
    if share is None:
        return float(np.average(target, weights=weight))
    order = np.argsort(target, kind="stable")
    passed = np.cumsum(weight[order])
    return float(target[order][np.searchsorted(passed, share * passed[-1])])


def _quantile(objective: str) -> float | None:
    found = re.fullmatch(r"quantile:(0?\.\d+)", objective)
    return float(found[1]) if found else None
