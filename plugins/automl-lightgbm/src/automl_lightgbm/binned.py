"""One binned data set per table, shared by all folds and configurations that bin alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

import lightgbm as lgb

if TYPE_CHECKING:
    from automl_core import Data

__all__ = ["Binned"]

# What a data set depends on besides its rows.
BINNING = ("max_bin",)


class Binned:
    """The last few binned tables; thread-safe."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[Any, ...], lgb.Dataset] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Binned, (self._size,)

    def whole(self, data: Data, params: Mapping[str, Any]) -> lgb.Dataset:
        """Return a table in bins; take rows of it by `subset`. One without a key is binned for this call alone."""
        used = {name: params[name] for name in BINNING if name in params}
        if not data.key:
            return _bin(data, used, params["num_threads"])
        key = (data.key, data.values.shape, *sorted(used.items()))
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _bin(data, used, params["num_threads"])
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _bin(data: Data, params: Mapping[str, Any], threads: int) -> lgb.Dataset:
    categorical = [place for place, column in enumerate(data.columns) if column.categorical]
    dataset = lgb.Dataset(
        data.values,
        label=data.target,
        weight=data.weight,
        categorical_feature=categorical,
        # Leaves of any size must stay possible: configurations differ in min_data_in_leaf.
        params={"feature_pre_filter": False, "verbosity": -1, "num_threads": threads, **params},
        free_raw_data=True,
    )
    return dataset.construct()
