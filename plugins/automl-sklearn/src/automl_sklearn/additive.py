"""Evaluate an `automl_core.Additive` on many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Additive

__all__ = ["evaluate"]


def evaluate(flat: Additive, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what `Model.predict` promises, for a model without derived columns."""
    numbers, categories = np.flatnonzero(flat.table_start < 0), np.flatnonzero(flat.table_start >= 0)
    missing = np.isnan(values)
    clipped = np.clip(values[:, numbers].astype(np.float64), flat.low[numbers], flat.high[numbers])
    total = np.where(missing[:, numbers], 0.0, clipped) @ flat.weight[numbers]
    total += missing.astype(np.float64) @ flat.missing
    for j in categories:
        codes = np.where(missing[:, j], 0, values[:, j]).astype(np.int64)
        total += np.where(missing[:, [j]], 0.0, flat.table[flat.table_start[j] + codes])
    raw = flat.base + flat.scale * total
    if flat.link == "identity":
        return raw[:, 0]
    if flat.link == "sigmoid":
        positive = expit(raw[:, 0])
        return np.column_stack([1 - positive, positive])
    return np.asarray(softmax(raw, axis=1))
