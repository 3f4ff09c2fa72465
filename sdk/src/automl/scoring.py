"""How well a fitted model does on rows with a known target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.model import Model
    from automl.target import TargetCoder

__all__ = ["score_model"]


def score_model(model: Model, coder: TargetCoder, metric: Metric, data: Any, y: Any = None) -> float:
    """Return the metric, in its own direction, on the rows that have a target.

    Args:
        y: of shape (rows,); None takes the target's column of the data.

    Raises:
        DataError: the data has no such column, or no row has a target.
    """
    from automl.model import in_batches
    from automl.table import open_table

    if y is None and (batches := in_batches(data)) is not None:
        parts = [_judge(model, coder, table, _target_of(table, coder)) for table in batches]
    else:
        if y is None:
            data = open_table(data)
            y = _target_of(data, coder)
        parts = [_judge(model, coder, data, y)]
    target = np.concatenate([part[0] for part in parts]) if parts else np.empty(0)
    if not len(target):
        raise DataError(f"no row has a value of {coder.name!r} to score against.")
    return metric.to_score(metric.loss(target, np.concatenate([part[1] for part in parts])))


def _target_of(table: Any, coder: TargetCoder) -> Any:
    if coder.name not in table.column_names:
        raise DataError(f"the data has no column {coder.name!r} to score against, and y is not given.")
    return table[coder.name]


def _judge(model: Model, coder: TargetCoder, data: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any]]:
    target = coder.encode(y)
    known = np.isfinite(target)
    if not known.any():
        return target[known], np.empty((0, len(coder.classes)) if coder.classes else 0)
    prediction = model.predict_proba(data) if coder.classes else model.predict(data)
    return target[known], prediction[known]
