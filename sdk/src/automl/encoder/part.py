"""How one input column becomes columns of the matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from automl_core import Column, DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Arrays", "Part", "Single", "State", "take_array"]

State = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]


class Part(ABC):
    """Encodes one input column; thread-safe, its values never change after the fit.

    All ways in give the same float32 numbers for the same values. A value that the column cannot hold raises TypeError or
    ValueError with a message that begins with "expects".

    Attributes:
        name: of the input column. columns: what it becomes, at least one.
    """

    kind: ClassVar[str]
    name: str
    columns: tuple[Column, ...]

    @abstractmethod
    def block(self, values: Sequence[Any]) -> NDArray[np.float32]:
        """Encode Python values; shape (values, columns)."""

    def numpy(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Encode a one-dimensional array; shape (values, columns)."""
        return self.block(list(values))

    def arrow(self, array: pa.Array) -> NDArray[np.float32]:
        """Encode an Arrow array, each different value once; shape (values, columns)."""
        import pyarrow as pa

        if pa.types.is_null(array.type):
            return np.repeat(self.block([None]), len(array), axis=0)
        if pa.types.is_nested(array.type) or pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            raise TypeError(f"expects one value per row, got {array.type}")
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.timestamp("us", array.type.tz), safe=False)  # Python has no nanoseconds
        if pa.types.is_dictionary(array.type) and len(array.dictionary) > len(array):
            array = array.dictionary_decode()  # a few rows of a large table: not every value of that one
        encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        codes: NDArray[np.int64] = encoded.indices.cast(pa.int64()).fill_null(len(values)).to_numpy()
        return self.block([*values, None])[codes]

    @abstractmethod
    def state(self) -> tuple[State, Arrays]:
        """Return what `from_state` needs: plain JSON, and arrays by name."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: State, arrays: Arrays) -> Self:
        """Return the part that `state` described.

        Raises:
            DataError: an array has a wrong shape or type.
            KeyError, TypeError, ValueError: something is missing or of a wrong type.
        """


class Single(Part):
    """A part of one column.

    Attributes:
        convert: takes one value to one number, NaN for missing; a plain callable, as it is the fast way for a row.
    """

    convert: Callable[[Any], float]

    def block(self, values: Sequence[Any]) -> NDArray[np.float32]:
        convert = self.convert
        return np.array([convert(value) for value in values], dtype=np.float32).reshape(-1, 1)


def take_array(arrays: Arrays, name: str, dtype: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return an array of a state after a check; None in `shape` stands for any length.

    Raises:
        DataError: it is missing, or of another type or shape.
    """
    array = arrays.get(name)
    if array is None:
        raise DataError(f"the encoder's array {name!r} is missing.")
    fits = len(shape) == array.ndim and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if array.dtype != np.dtype(dtype) or not fits:
        raise DataError(f"the encoder's array {name!r} is {array.dtype} {array.shape}, expected {dtype} {shape}.")
    return array
