"""What sources of data cut it into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

__all__ = ["BadRow", "Piece", "Place", "Source"]


class Place(NamedTuple):
    """A place in a data set: the number of a file, and bytes (CSV, decompressed) or rows (Parquet) in it."""

    file: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row, or the rest of a file, that was left out."""

    file: str
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Rows from `start` to before `stop`: raw bytes, or a table."""

    start: Place
    stop: Place
    data: Any


class Source(Protocol):
    """Files in pieces.

    Attributes:
        schema: of a piece without rows.
        left_out: how many files are left out from the beginning.
        identity: what else than the files decides what the pieces are, as plain data.
    """

    system: Any
    files: list[str]
    schema: pa.Schema
    left_out: int
    identity: list[Any]

    def pieces(self, start: Place) -> Iterator[Piece]:
        """Yield what comes after a place, in order."""
        ...

    def parse(self, piece: Piece) -> tuple[pa.Table, list[BadRow]]:
        """Return a piece as a table, and what was left out of it; called from several threads at once."""
        ...
