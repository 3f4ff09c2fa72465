"""Quantile matrices, shared by all configurations of a fold."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Data

__all__ = ["Quantiles", "feature_types"]


class Quantiles:
    """The last few training and validation matrices; thread-safe."""

    def __init__(self, size: int = 8) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[str, bytes], tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix | None]] = (
            OrderedDict()
        )
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Quantiles, (self._size,)

    def matrices(
        self, data: Data, train: NDArray[np.int64], valid: NDArray[np.int64] | None, threads: int
    ) -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix | None]:
        """Return the rows to learn from and to watch, in the bins of the former."""
        if not data.key:
            return _make(data, train, valid, threads)
        rows = train if valid is None else np.concatenate([train, [-1], valid])
        key = (data.key, hashlib.blake2b(np.ascontiguousarray(rows).tobytes(), digest_size=16).digest())
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _make(data, train, valid, threads)
                while len(self._kept) > self._size:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def feature_types(data: Data) -> list[str]:
    return ["c" if column.categorical else "q" for column in data.columns]


def _make(
    data: Data, train: NDArray[np.int64], valid: NDArray[np.int64] | None, threads: int
) -> tuple[xgb.QuantileDMatrix, xgb.QuantileDMatrix | None]:
    learn = _matrix(data, train, threads)
    return learn, None if valid is None else _matrix(data, valid, threads, reference=learn)


def _matrix(
    data: Data, rows: NDArray[np.int64], threads: int, reference: xgb.QuantileDMatrix | None = None
) -> xgb.QuantileDMatrix:
    return xgb.QuantileDMatrix(
        data.values[rows],
        label=data.target[rows],
        weight=None if data.weight is None else data.weight[rows],
        feature_types=feature_types(data),
        enable_categorical=True,
        ref=reference,
        nthread=threads,
    )
