"""Arrays as one block of bytes and a table that says where each is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ArrayReader", "ArrayWriter"]

ALIGNMENT = 64
DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"})


class ArrayWriter:
    """Collects arrays; equal ones are stored once."""

    def __init__(self) -> None:
        self.table: list[list[Any]] = []
        self._blocks: list[bytes] = []
        self._known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self._size = 0

    def add(self, array: NDArray[Any]) -> int:
        """Keep an array and return its number.

        Raises:
            DataError: its type is none of booleans, whole and floating numbers.
        """
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
        dtype = plain.dtype.str
        if dtype not in DTYPES:
            raise DataError(f"arrays of type {array.dtype} cannot be stored; use numbers or booleans.")
        data = plain.tobytes()
        key = (dtype, plain.shape, hashlib.blake2b(data, digest_size=16).digest())
        if key not in self._known:
            self._known[key] = len(self.table)
            self.table.append([dtype, list(plain.shape), self._size])
            padded = data + bytes(-len(data) % ALIGNMENT)
            self._blocks.append(padded)
            self._size += len(padded)
        return self._known[key]

    def data(self) -> bytes:
        return b"".join(self._blocks)


class ArrayReader:
    """Gives out read-only arrays of a block.

    Raises:
        DataError: the table contradicts the block.
    """

    def __init__(self, table: Sequence[Any], data: bytes) -> None:
        self._table, self._data = table, data
        self._taken: dict[int, NDArray[Any]] = {}

    def get(self, number: Any) -> NDArray[Any]:
        try:
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise TypeError(f"{number!r} is no array's number")
            if number not in self._taken:
                self._taken[number] = self._take(*self._table[number])
            return self._taken[number]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"the model file is damaged: it has no valid array {number!r} ({error}).") from error

    def _take(self, dtype: Any, shape: Any, offset: Any) -> NDArray[Any]:
        if dtype not in DTYPES or not isinstance(offset, int) or offset < 0 or len(shape) > 8:
            raise ValueError("unknown type, shape or place")
        if not all(isinstance(size, int) and 0 <= size < 1 << 40 for size in shape):
            raise ValueError("impossible shape")
        count = math.prod(shape)  # of Python's whole numbers: never overflows
        kind = np.dtype(dtype)
        if offset + count * kind.itemsize > len(self._data):
            raise ValueError("it ends beyond the data")
        array = np.frombuffer(self._data, dtype=kind, count=count, offset=min(offset, len(self._data))).reshape(shape)
        if kind == np.bool_:  # any other byte than 0 and 1 is undefined behaviour further on
            array = np.asarray(array.view(np.uint8) != 0)
            array.flags.writeable = False
        return array
