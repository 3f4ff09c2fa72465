"""Rows that were answered before: in this process, and beyond it where that pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.service.answers import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.service.rows import RowCache
    from automl.service.second import SecondCache
    from automl.service.served import Served

__all__ = ["KnownRows", "to_said"]

KEPT_ROWS = 64  # a request of more rows is not looked up row by row in this process, unless the model is slow


class KnownRows:
    """Answers rows from caches and keeps what is new; thread-safe as these are.

    Args:
        batch_above: seconds of one row, from which on a model counts as slow.
        found: told how many rows the cache beyond this process knew.

    Attributes:
        local: in this process. second: beyond it; None without one.
    """

    def __init__(self, local: RowCache, *, batch_above: float, found: Callable[[int], None]) -> None:
        self.local, self._batch_above, self._found = local, batch_above, found
        self.second: SecondCache | None = None

    def asks_second(self, served: Served) -> bool:
        """Tell whether the cache beyond this process is worth asking for this model."""
        return self.second is not None and self.second.pays(served)

    def predict(self, served: Served, values: NDArray[np.float32]) -> Answer:
        """Predict only rows that no cache knows, each once."""
        asks = self.asks_second(served)
        if not asks and (served.one <= self._batch_above or len(values) > KEPT_ROWS):
            return Answer(served, served.model.predictor.predict(values))
        keys = [served.token + row.tobytes() for row in values]
        known = {key: value for key in set(keys) if (value := self.local.get(key)) is not None}
        hits = sum(key in known for key in keys)
        first = {key: place for place, key in reversed(list(enumerate(keys))) if key not in known}
        if asks and first:
            hits += self._ask_second(served, keys, first, known)
        if first:
            places = sorted(first.values())
            said = served.model.predictor.predict(np.ascontiguousarray(values[places]))
            fresh = [(keys[place], row.tobytes()) for place, row in zip(places, said, strict=True)]
            self._keep(served, fresh, known, asks)
        return Answer(served, to_said([known[key] for key in keys], served), hits)

    def _ask_second(self, served: Served, keys: list[bytes], first: dict[bytes, int], known: dict[bytes, bytes]) -> int:
        assert self.second is not None  # noqa: S101 - asked for
        wanted = list(first)
        found = self.second.get(served, wanted, 8 * max(served.model.predictor.classes, 1))
        hits = 0
        for key, value in zip(wanted, found, strict=True):
            if value is not None:
                known[key] = value
                self.local.set(key, value)
                del first[key]
                hits += keys.count(key)
        self._found(hits)
        return hits

    def _keep(self, served: Served, fresh: list[tuple[bytes, bytes]], known: dict[bytes, bytes], asks: bool) -> None:
        for key, value in fresh:
            known[key] = value
            self.local.set(key, value)
        if asks and self.second is not None:
            self.second.set(served, fresh)


def to_said(values: Sequence[bytes], served: Served) -> NDArray[np.float64]:
    """Return kept answers as `Predictor.predict` gives them."""
    said = np.frombuffer(b"".join(values), dtype=np.float64)
    classes = served.model.predictor.classes
    return said.reshape(-1, classes) if classes else said
