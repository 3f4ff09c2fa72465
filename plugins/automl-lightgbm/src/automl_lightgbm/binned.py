"""One binned data set per table, shared by all folds and configurations."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Data

__all__ = ["BINNING", "Binned", "Target", "bin_rows", "take"]

# Leaves of any size must stay possible in one data set: configurations differ in min_data_in_leaf.
BINNING = {"feature_pre_filter": False, "verbosity": -1}
KEPT = 4  # tables; more than one as views of derived columns are tables of their own


@dataclass(frozen=True, slots=True)
class Target:
    """A number as LightGBM learns it: (number - shift) / scale, so that penalties mean the same for every unit."""

    shift: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, target: NDArray[np.float64]) -> Target:
        scale = float(target.std())
        return cls(float(target.mean()), scale if np.isfinite(scale) and scale > 0 else 1.0)

    def learned(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        return (target - self.shift) / self.scale

    def told(self, learned: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.shift + self.scale * learned


class Binned:
    """The last few tables in bins; thread-safe, and one table is binned once however many threads ask for it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], Future[lgb.Dataset]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Binned, ()

    def whole(self, data: Data, threads: int) -> lgb.Dataset:
        """Return a table in bins, for `take`. One without a key is binned for this call alone."""
        if not data.key:
            return bin_rows(data, None, threads)
        key = (data.key, data.values.shape)
        with self._lock:
            found = self._kept.get(key)
            mine = found is None
            if found is None:
                found = self._kept[key] = Future()
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
        if mine:
            try:
                found.set_result(bin_rows(data, None, threads))
            except BaseException as error:
                self._forget(key)
                found.set_exception(error)
                raise
        return found.result()

    def _forget(self, key: tuple[Any, ...]) -> None:
        with self._lock:
            self._kept.pop(key, None)


def bin_rows(
    data: Data,
    rows: NDArray[np.int64] | None,
    threads: int,
    *,
    target: Target | None = None,
    reference: lgb.Dataset | None = None,
) -> lgb.Dataset:
    """Return all rows in bins; or some, binned when training starts, of which LightGBM can still see the values."""
    place = slice(None) if rows is None else rows
    label = data.target[place]
    dataset = lgb.Dataset(
        data.values[place],
        label=label if target is None else target.learned(label),
        weight=None if data.weight is None else data.weight[place],
        reference=reference,
        categorical_feature=[number for number, column in enumerate(data.columns) if column.categorical],
        params={**BINNING, "num_threads": threads},
        free_raw_data=rows is None,
    )
    return dataset.construct() if rows is None else dataset


def take(whole: lgb.Dataset, data: Data, rows: NDArray[np.int64], target: Target) -> lgb.Dataset:
    """Return rows of a table in bins, with their targets as `target` has them."""
    rows = np.sort(rows)
    part = whole.subset([])
    # `subset(rows)` would make a sorted Python list of them: ten times the time of the copy itself.
    part.used_indices = rows.astype(np.int32)
    return part.construct().set_label(target.learned(data.target[rows]))
