"""A fit that the watched rows end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import Data, Job

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.prepare import Prepared

__all__ = ["Watched", "watched_job"]

Watched = tuple["NDArray[np.float32]", "NDArray[np.float64]"]  # values of shape (rows, columns), targets


def watched_job(
    prepared: Prepared, rows: NDArray[np.int64] | slice, watched: Watched, metric: Metric, **options: Any
) -> Job:
    """Return a job that learns from these rows of the sample and is validated on the watched ones.

    Args:
        options: more fields of the job.
    """
    data, (values, target) = prepared.data, watched
    learned = data.target[rows]
    weight = None if data.weight is None else np.concatenate([data.weight[rows], np.ones(len(values))])
    joined = Data(np.concatenate([data.values[rows], values]), data.columns, np.concatenate([learned, target]), weight)
    return Job(
        data=joined, train=np.arange(len(learned)), valid=np.arange(len(learned), len(joined.target)),
        task=prepared.coder.task, classes=len(prepared.coder.classes), objective=metric.objective, **options,
    )  # fmt: skip
