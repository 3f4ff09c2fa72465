"""One quantised pool per table, sliced by all folds and configurations that quantise alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import catboost as cb
import numpy as np
import pandas as pd

from automl_catboost.hashing import MISSING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Column, Data

__all__ = ["Pools", "make_pool"]


class Pools:
    """The last few quantised tables; thread-safe."""

    def __init__(self, size: int = 2) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[Any, ...], cb.Pool] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Pools, (self._size,)

    def whole(self, data: Data, border_count: int, threads: int) -> cb.Pool:
        """Return a quantised table; take rows of it by `slice`. One without a key is quantised for this call alone."""
        if not data.key:
            return _quantise(data, border_count, threads)
        key = (data.key, data.values.shape, border_count)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _quantise(data, border_count, threads)
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def make_pool(
    values: NDArray[np.float32],
    columns: Sequence[Column],
    *,
    target: NDArray[np.float64] | None = None,
    weight: NDArray[np.float64] | None = None,
    threads: int = 1,
) -> cb.Pool:
    """Return encoded rows as CatBoost takes them: a missing category becomes one of its own, named "-1"."""
    categorical = [place for place, column in enumerate(columns) if column.categorical]
    table: Any = values
    if categorical:
        # CatBoost hashes the names of a pandas category once each, and all other forms cell by cell.
        table = pd.DataFrame({
            place: _as_category(values[:, place], column.categories) if column.categorical else values[:, place]
            for place, column in enumerate(columns)
        })  # fmt: skip
    return cb.Pool(
        table,
        target,
        cat_features=categorical,
        weight=weight,
        feature_names=[str(place) for place in range(len(columns))],
        thread_count=threads,
    )


def _as_category(column: NDArray[np.float32], categories: int) -> pd.Categorical:
    # A view may hold codes that the table does not: they are as good as missing for a model that never saw them.
    known = (column >= 0) & (column < categories)
    codes = np.where(known, column, MISSING).astype(np.int64) - MISSING
    return pd.Categorical.from_codes(codes, categories=[str(code) for code in range(MISSING, categories)])


def _quantise(data: Data, border_count: int, threads: int) -> cb.Pool:
    pool = make_pool(data.values, data.columns, target=data.target, weight=data.weight, threads=threads)
    pool.quantize(border_count=border_count, nan_mode="Min", task_type="CPU")
    return pool
