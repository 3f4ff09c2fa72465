"""Rows in bins that were never in memory together as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xgboost as xgb

from automl_xgboost.matrices import Known, Sample, feature_types, matrix
from automl_xgboost.start import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from automl_core import Job

__all__ = ["stream"]


class _Batches(xgb.DataIter):  # type: ignore[misc]  # xgboost has no types
    """A source as XGBoost asks for it: from the beginning for each of its passes."""

    def __init__(self, source: Any, known: Known, start: Start) -> None:
        self._source, self._known, self._start = source, known, start
        self._batches: Iterator[Any] = iter(source)
        super().__init__(release_data=True)

    def reset(self) -> None:
        self._batches = iter(self._source)

    def next(self, give: Callable[..., Any]) -> bool:
        batch = next(self._batches, None)
        if batch is None:
            return False
        values, target, weight = batch
        give(
            data=self._known.clean(values),
            label=self._start.learned(target),
            weight=weight,
            base_margin=self._start.margin(len(values)),
            feature_types=feature_types(self._known),
        )
        return True


def stream(source: Any, job: Job) -> Sample:
    """Put all rows of a source, and the job's valid rows, in bins; a start and categories are those of its sample."""
    known, start = Known.of(job), Start.of(job)
    rows = _Batches(source, known, start)
    train = xgb.QuantileDMatrix(rows, enable_categorical=True, nthread=job.threads)
    valid = None if job.valid is None else matrix(job, job.valid, known, start, reference=train)
    return Sample(train, valid, known, start)
