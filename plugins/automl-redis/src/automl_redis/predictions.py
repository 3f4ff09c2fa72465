"""Predictions by row: canonical keys, and each missing one computed once."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from automl_core import Batches, Cache, DataError, Lockable

__all__ = ["PredictionCache", "row_key"]

POLL = 0.005  # seconds between two looks for what another one computes


class PredictionCache:
    """Predictions of rows in any cache, as JSON.

    Args:
        cache: where they are kept; a `PredictionCache` given to `automl.serving.api.create_app` stands for it.
        ttl: seconds; None takes the cache's own default.
    """

    def __init__(self, cache: Cache, *, ttl: float | None = None) -> None:
        self.cache, self.ttl = cache, ttl

    def get(self, model_id: str, row: Mapping[str, Any]) -> Any:
        """Return a prediction; None for a miss."""
        return _load(self.cache.get(row_key(model_id, row)))

    def set(self, model_id: str, row: Mapping[str, Any], prediction: Any) -> None:
        self.cache.set(row_key(model_id, row), json.dumps(prediction).encode(), ttl=self.ttl)

    def get_many(self, model_id: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return a prediction or None for each row, in one round trip where the cache can."""
        keys = [row_key(model_id, row) for row in rows]
        found = self.cache.get_many(keys) if isinstance(self.cache, Batches) else [self.cache.get(key) for key in keys]
        return [_load(value) for value in found]

    def set_many(self, model_id: str, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> None:
        pairs = zip(rows, predictions, strict=True)
        items = {row_key(model_id, row): json.dumps(prediction).encode() for row, prediction in pairs}
        if isinstance(self.cache, Batches):
            self.cache.set_many(items, ttl=self.ttl)
        else:
            for key, value in items.items():
                self.cache.set(key, value, ttl=self.ttl)

    def get_or_compute(
        self, model_id: str, row: Mapping[str, Any], compute: Callable[[], Any], *, patience: float = 1.0
    ) -> Any:
        """Return a prediction, computed where it is missing by one of all who miss it at the same time.

        Args:
            compute: returns what JSON can hold. patience: seconds to wait for another one's result before computing.
        """
        found = self.get(model_id, row)
        if found is not None or not isinstance(self.cache, Lockable):
            return found if found is not None else self._compute(model_id, row, compute)
        with self.cache.lock(row_key(model_id, row), ttl=patience) as first:
            if first:
                return self._compute(model_id, row, compute)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if (found := self.get(model_id, row)) is not None:
                return found
            time.sleep(POLL)
        return self._compute(model_id, row, compute)

    def _compute(self, model_id: str, row: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        prediction = compute()
        self.set(model_id, row, prediction)
        return prediction


def row_key(model_id: str, row: Mapping[str, Any]) -> str:
    """Return the same key for the same row, whatever the order of its columns and the spelling of its numbers.

    1, 1.0 and numpy's 1.0 are the same, so are 0.0 and -0.0, and all NaN; 1, "1" and True are not.

    Raises:
        DataError: a value is neither text, a number, a truth nor None.
    """
    digest = blake2b(digest_size=16)
    for name in sorted(row):
        # Lengths first, so that no two rows run into the same bytes.
        for text in (str(name), _canonical(name, row[name])):
            data = text.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(4, "big") + data)
    return f"automl:{model_id}:{digest.hexdigest()}"


def _canonical(name: str, value: Any) -> str:
    if hasattr(value, "item"):  # numpy's scalars
        value = value.item()
    if value is None or isinstance(value, bool):
        return f"={value}"
    if isinstance(value, str):
        return f"s{value}"
    if isinstance(value, int):
        # Beyond 2**53 two whole numbers may be one float, but they are not one row.
        return f"n{float(value)!r}" if abs(value) <= 1 << 53 else f"i{value}"
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return f"i{int(value)}" if math.isfinite(value) and abs(value) > 1 << 53 else f"n{value + 0.0!r}"
    raise DataError(f"column {name!r} holds a {type(value).__name__}, which makes no key; give text, a number or None.")


def _load(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:  # somebody else's value: as good as none
        return None
