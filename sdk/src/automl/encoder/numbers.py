"""Numbers and truths: one column of float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from automl.encoder.part import Arrays, Single, State
from automl.scalars import FLOAT32_MAX, as_number, as_truth
from automl.schema import BOOLEAN, NUMBER
from automl_core import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["NumberPart", "TruthPart", "plain_numbers", "to_float32"]

PLAIN = {float, int, type(None)}


def to_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32: infinite ones as NaN, those beyond its range as the nearest finite one."""
    with np.errstate(over="ignore"):
        result = values.astype(np.float64, copy=False).astype(np.float32)
    if not np.isfinite(result).all():
        result[np.isposinf(result)] = FLOAT32_MAX
        result[np.isneginf(result)] = -FLOAT32_MAX
        result[np.isinf(values)] = np.nan
    return result


def plain_numbers(values: Sequence[Any]) -> NDArray[np.float32] | None:
    """Return floats, ints and None, in one or two dimensions, as float32; None where anything else is among them."""
    try:
        array = np.array(values)
        if array.dtype.kind == "O" and set(map(type, array.flat)) <= PLAIN:
            array = array.astype(np.float64)
    except (ValueError, OverflowError):  # ragged, as where a value is a list; an integer beyond float64
        return None
    return to_float32(array) if array.dtype.kind in "fiu" else None


def _fast(slow: Callable[[Any], float]) -> Callable[[Any], float]:
    def convert(value: Any) -> float:
        # Nearly every value of a row is an ordinary float or int; NaN and infinity fail the comparison.
        kind = type(value)
        if (kind is float or kind is int) and -FLOAT32_MAX <= value <= FLOAT32_MAX:
            number: float = value
            return number
        return slow(value)

    return convert


class NumberPart(Single):
    """A number; see `automl.scalars.as_number` for what counts as one."""

    kind = NUMBER
    read = staticmethod(as_number)

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns = (Column(name),)
        self.convert = _fast(self.read)

    def numpy(self, values: NDArray[Any]) -> NDArray[np.float32]:
        if values.dtype.kind in "biuf":
            return to_float32(values).reshape(-1, 1)
        return super().numpy(values)

    def block(self, values: Sequence[Any]) -> NDArray[np.float32]:
        plain = plain_numbers(values) if type(self) is NumberPart and len(values) > 1 else None
        return super().block(values) if plain is None or plain.ndim != 1 else plain.reshape(-1, 1)

    def arrow(self, array: pa.Array) -> NDArray[np.float32]:
        import pyarrow as pa

        kind = array.type
        if pa.types.is_boolean(kind):
            array = array.cast(pa.uint8())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return super().arrow(array)
        return to_float32(array.to_numpy(zero_copy_only=False)).reshape(-1, 1)

    def state(self) -> tuple[State, Arrays]:
        return {}, {}

    @classmethod
    def from_state(cls, state: State, arrays: Arrays) -> Self:
        return cls(state["name"])


class TruthPart(NumberPart):
    """True and False as 1 and 0; also reads their names, and "yes" and "no"."""

    kind = BOOLEAN
    read = staticmethod(as_truth)
