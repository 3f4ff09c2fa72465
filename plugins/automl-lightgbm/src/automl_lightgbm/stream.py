"""Rows in bins that were never in memory together as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from automl_lightgbm.binned import BINNING, Target, bin_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from automl_core import Job

__all__ = ["bin_source"]

BATCH = 1 << 20  # numbers that go to LightGBM at a time


class _Rows(lgb.Sequence):  # type: ignore[misc]
    """A source as LightGBM asks for it: slice after slice. Keeps targets and weights as they pass."""

    def __init__(self, source: Any, columns: int) -> None:
        self.batch_size = max(1, BATCH // columns)
        self._batches: Iterator[Any] = iter(source)
        self._rest: list[NDArray[np.float32]] = []
        self._done = 0
        self.target = np.empty(source.rows, dtype=np.float64)
        self.weight: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.target)

    def __getitem__(self, place: Any) -> NDArray[np.float32]:
        wanted = place.stop - place.start
        while (held := sum(map(len, self._rest))) < wanted:
            values, target, weight = next(self._batches)
            self._rest.append(values)
            end = self._done + len(values)
            self.target[self._done : end] = target
            if weight is not None:
                if self.weight is None:
                    self.weight = np.ones(len(self.target), dtype=np.float32)
                self.weight[self._done : end] = weight
            self._done = end
        block = np.concatenate(self._rest) if len(self._rest) > 1 else self._rest[0]
        self._rest = [block[wanted:]] if held > wanted else []
        return np.ascontiguousarray(block[:wanted])


def bin_source(source: Any, job: Job) -> tuple[lgb.Dataset, Target, lgb.Dataset | None]:
    """Return all rows of a source in bins, how their target is learned, and the job's valid rows in the same bins.

    The bins are those of the job's training rows.
    """
    target = Target.of(job.data.target[job.train]) if not job.classes else Target()
    reference = bin_rows(job.data, job.train, job.threads, target=target).construct()
    rows = _Rows(source, len(job.data.columns))
    whole = lgb.Dataset(
        rows, label=np.zeros(len(rows), dtype=np.float32), reference=reference,
        params={**BINNING, "num_threads": job.threads}, free_raw_data=True,
    ).construct()  # fmt: skip
    whole.set_label(target.learned(rows.target))
    if rows.weight is not None:
        whole.set_weight(rows.weight)
    valid = None
    if job.valid is not None:
        valid = bin_rows(job.data, job.valid, job.threads, target=target, reference=whole)
    return whole, target, valid
