"""Dates: days since the first one, and the parts of the calendar that vary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from automl.dates import (
    DAY,
    HIGHEST,
    LOWEST,
    MISSING,
    PARTS,
    calendar,
    calendar_column,
    date_micros,
    datetime64_micros,
    parse_date,
    to_micros_column,
)
from automl.encoder.part import Arrays, Part, State
from automl.schema import DATETIME
from automl_core import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DatePart"]


class DatePart(Part):
    """Days since `origin`, then parts of the calendar.

    Args:
        origin: microseconds since 1970: the earliest date in training; days count from there so that float32 keeps
            seconds apart. parts: names out of `automl.dates.PARTS`.
    """

    kind = DATETIME

    def __init__(self, name: str, origin: int, parts: Sequence[str]) -> None:
        if not LOWEST <= origin <= HIGHEST:
            raise ValueError("the origin is out of range")
        self.name, self.origin, self.parts = name, origin, tuple(parts)
        self.columns = (Column(f"{name}.days"), *(Column(f"{name}.{part}") for part in self.parts))
        self._places = [PARTS.index(part) for part in self.parts]
        self._missing = [math.nan] * len(self.columns)

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray) -> Self:
        import pyarrow as pa

        if pa.types.is_temporal(column.type):
            micros = to_micros_column(column)
        else:
            micros = np.array([parse_date(text) for text in column.unique().drop_null().to_pylist()], dtype=np.int64)
        micros = micros[micros != MISSING]
        varies = np.ptp(calendar_column(micros), axis=0) > 0
        return cls(name, int(micros.min()), [part for part, vary in zip(PARTS, varies, strict=True) if vary])

    def expand(self, value: Any) -> list[float]:
        """Encode one value."""
        micros = date_micros(value)
        if micros == MISSING:
            return self._missing
        parts = calendar(micros)
        return [float(micros - self.origin) / DAY, *(parts[place] for place in self._places)]

    def block(self, values: Sequence[Any]) -> NDArray[np.float32]:
        # Values of several types are text in a table, and text that is no date is missing.
        if any(isinstance(value, str) for value in values):
            values = [None if isinstance(value, bool | int | float) else value for value in values]
        return np.array([self.expand(value) for value in values], dtype=np.float32).reshape(-1, len(self.columns))

    def numpy(self, values: NDArray[Any]) -> NDArray[np.float32]:
        return self._encode(datetime64_micros(values)) if values.dtype.kind == "M" else super().numpy(values)

    def arrow(self, array: pa.Array) -> NDArray[np.float32]:
        import pyarrow as pa

        return self._encode(to_micros_column(array)) if pa.types.is_temporal(array.type) else super().arrow(array)

    def _encode(self, micros: NDArray[np.int64]) -> NDArray[np.float32]:
        result = np.empty((len(micros), len(self.columns)), dtype=np.float32)
        missing = micros == MISSING
        result[:, 0] = np.where(missing, 0, micros - np.where(missing, 0, self.origin)).astype(np.float64) / DAY
        result[:, 1:] = calendar_column(micros)[:, self._places]
        result[missing] = np.nan
        return result

    def state(self) -> tuple[State, Arrays]:
        return {"origin": self.origin, "parts": list(self.parts)}, {}

    @classmethod
    def from_state(cls, state: State, arrays: Arrays) -> Self:
        return cls(state["name"], int(state["origin"]), state["parts"])
