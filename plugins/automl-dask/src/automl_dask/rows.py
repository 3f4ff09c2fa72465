"""A stream of CSV bytes, cut after every so many rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from automl_core import DataError

__all__ = ["LONGEST_ROW", "RowCutter"]

BLOCK = 1 << 22
LONGEST_ROW = 1 << 26
NEWLINE, QUOTE = b"\n", b'"'


class RowCutter:
    """Yields pieces of whole rows; a newline within quotes ends no row.

    Memory: one piece and one block of 4 MiB.

    Args:
        stream: at the beginning of a row.
        quoted: whether values may be quoted, as RFC 4180 says; False where a quote is a character like any other.

    Raises:
        DataError: no row ends within 64 MiB, as after a quote that nobody closed.
    """

    def __init__(self, stream: Any, *, quoted: bool = True) -> None:
        self._stream, self._quoted = stream, quoted
        self._rest = b""
        self._inside = 0  # whether the rest begins within quotes, as 0 or 1
        self.offset = 0  # bytes given out so far

    def take(self, rows: int) -> bytearray:
        """Return the next `rows` rows, or fewer at the end of the stream, then none."""
        piece, since_row = bytearray(), 0
        while block := self._rest or self._stream.read(BLOCK):
            self._rest = b""
            end, found = self._cut(block, rows)
            piece += memoryview(block)[:end] if end < len(block) else block
            rows -= found
            if not rows:
                self._rest = block[end:]
                break
            since_row = 0 if found else since_row + len(block)
            if since_row > LONGEST_ROW:
                raise DataError(
                    f"no row ends within {since_row >> 20} MiB from about byte {self.offset + len(piece) - since_row}: is a quote "
                    "there never closed? Where quotes are ordinary characters, pass quoted=False."
                )
        self.offset += len(piece)
        return piece

    def __iter__(self) -> Iterator[bytearray]:
        while piece := self.take(1):
            yield piece

    def _cut(self, block: bytes, rows: int) -> tuple[int, int]:
        """Return where the `rows`-th row of a block ends, or its length, and how many rows end before that."""
        if not self._quoted or (not self._inside and QUOTE not in block):
            found = block.count(NEWLINE)
            if found < rows:
                return len(block), found
            ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == NEWLINE[0])
            return int(ends[rows - 1]) + 1, rows
        data = np.frombuffer(block, dtype=np.uint8)
        # Sums of bytes wrap at 256, which keeps them odd or even.
        inside = (np.add.accumulate(data == QUOTE[0], dtype=np.uint8) + self._inside) & 1
        ends = np.flatnonzero((data == NEWLINE[0]) & (inside == 0))
        if len(ends) < rows:
            self._inside = int(inside[-1])
            return len(block), len(ends)
        self._inside = 0
        return int(ends[rows - 1]) + 1, rows
