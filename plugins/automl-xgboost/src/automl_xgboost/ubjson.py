"""The part of Universal Binary JSON that XGBoost writes, with its arrays of numbers read at once."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

__all__ = ["read"]

# Numbers are big-endian; https://ubjson.org and XGBoost's own src/common/json.cc.
NUMBERS = {"i": "b", "U": "B", "I": "h", "l": "i", "L": "q", "d": "f", "D": "d"}
SIZES = {mark: struct.calcsize(code) for mark, code in NUMBERS.items()}
KINDS = {mark: np.dtype(f">{code}") for mark, code in NUMBERS.items()}
CONSTANTS = {"T": True, "F": False, "Z": None}


def read(data: bytes) -> Any:
    """Return objects as dictionaries, arrays of numbers as numpy's, other arrays as lists.

    Raises:
        ValueError: the bytes are cut, or of another format.
    """
    try:
        return _Reader(data).value()
    except (IndexError, KeyError, RecursionError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"the model is no Universal Binary JSON, or cut: {type(error).__name__} {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def value(self) -> Any:
        mark = self._mark()
        if mark == "{":
            return self._object()
        if mark == "[":
            return self._array()
        if mark == "S":
            return self._text()
        return CONSTANTS[mark] if mark in CONSTANTS else self._number(mark)

    def _mark(self) -> str:
        self._place += 1
        return chr(self._data[self._place - 1])

    def _peek(self, mark: str) -> bool:
        """Step over `mark` if it comes next."""
        found = chr(self._data[self._place]) == mark
        self._place += found
        return found

    def _number(self, mark: str) -> Any:
        (number,) = struct.unpack_from(">" + NUMBERS[mark], self._data, self._place)
        self._place += SIZES[mark]
        return number

    def _text(self) -> str:
        size = self._number(self._mark())
        return bytes(self._take(size)).decode()

    def _take(self, size: int) -> memoryview:
        part = memoryview(self._data)[self._place : self._place + size]
        if size < 0 or len(part) != size:
            raise IndexError(f"{size} bytes are announced at {self._place}, {len(part)} are there")
        self._place += size
        return part

    def _object(self) -> dict[str, Any]:
        found = {}
        while not self._peek("}"):
            name = self._text()
            found[name] = self.value()
        return found

    def _array(self) -> Any:
        if self._peek("$"):
            mark = self._mark()
            size = self._count()
            return np.frombuffer(self._take(size * SIZES[mark]), dtype=KINDS[mark])
        if chr(self._data[self._place]) == "#":
            return [self.value() for _ in range(self._count())]
        items = []
        while not self._peek("]"):
            items.append(self.value())
        return items

    def _count(self) -> int:
        if not self._peek("#"):
            raise KeyError("#")
        count: int = self._number(self._mark())
        return count
