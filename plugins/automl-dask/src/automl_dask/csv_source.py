"""CSV files in pieces of whole rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
import pyarrow as pa
from pyarrow import csv

from automl_core import DataError
from automl_dask.pieces import BadRow, Piece, Place
from automl_dask.places import expand
from automl_dask.rows import RowCutter

__all__ = ["CsvSource", "arrow_types"]

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".csv.zst")
# The words that pandas reads as missing.
MISSING = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null",
]  # fmt: skip
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff")
PANDAS_NAMES = {"str": "string", "object": "string", "boolean": "bool"}


class CsvSource:
    """See `ChunkedDataProcessor.process_csv_in_chunks` for the arguments."""

    def __init__(
        self,
        paths: Any,
        *,
        chunk_size: int,
        delimiter: str | None = None,
        dtypes: Mapping[str, Any] | None = None,
        encoding: str = "utf-8",
        quoted: bool = True,
        bad_rows: str = "error",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.system, self.files = expand(paths, SUFFIXES, options)
        self._rows, self._encoding, self._quoted, self._bad_rows = chunk_size, encoding, quoted, bad_rows
        self._types = arrow_types(dtypes or {})
        self.left_out = 0
        self._heads: dict[int, bytes] = {}
        first = self._head(0)
        self._delimiter = delimiter or _guess(self.files[0], first)
        self.names = self._names(first)
        self.schema = pa.schema([(name, self._types.get(name, pa.null())) for name in self.names])
        for name in self._types:
            if name not in self.names:
                raise DataError(f"dtypes names {name!r}, which is no column of {self.files[0]!r}.")
        self.identity = [delimiter, sorted((n, str(t)) for n, t in self._types.items()), encoding, quoted, bad_rows]

    def pieces(self, start: Place) -> Iterator[Piece]:
        """Yield what comes after a place, in order; each piece ends with its file at the latest."""
        for number in range(start.file, len(self.files)):
            head = self._head(number)
            if self._names(head) != self.names:
                raise DataError(self._drift(number, head))
            with self._open(number) as stream:
                offset = max(len(head), start.offset if number == start.file else 0)
                stream.seek(offset)
                cutter = RowCutter(stream, quoted=self._quoted)
                while data := cutter.take(self._rows):
                    place = Place(number, offset)
                    yield Piece(place, Place(number, offset := offset + len(data)), data)

    def parse(self, piece: Piece) -> tuple[pa.Table, list[BadRow]]:
        """Return a piece as a table, and the rows left out.

        Raises:
            DataError: a row has too many or too few values and `bad_rows` is "error", or a value is not of its type.
        """
        bad: list[BadRow] = []

        def judge(row: Any) -> str:
            bad.append(BadRow(self.files[piece.start.file], f"{row.actual_columns} values instead of "
                              f"{row.expected_columns}: {row.text[:200]}"))  # fmt: skip
            return "skip"

        parse = csv.ParseOptions(
            delimiter=self._delimiter, newlines_in_values=self._quoted, quote_char='"' if self._quoted else False,
            invalid_row_handler=judge,
        )  # fmt: skip
        where = f"{self.files[piece.start.file]!r}, bytes {piece.start.offset} to {piece.stop.offset}"
        try:
            table = self._read(piece.data, parse, self._types)
        except (pa.ArrowException, UnicodeError) as error:
            raise DataError(f"{where}: {str(error).splitlines()[0]}") from error
        if bad and self._bad_rows == "error":
            raise DataError(
                f"{where}: {len(bad)} bad rows, the first with {bad[0].why}. bad_rows='skip' leaves them out."
            )
        for name, kind in zip(table.column_names, table.schema.types, strict=True):
            if pa.types.is_binary(kind):
                raise DataError(f"{where}: column {name!r} is not {self._encoding}; name the file's encoding.")
        return table, bad

    def _read(self, data: Any, parse: Any, types: Mapping[str, pa.DataType]) -> pa.Table:
        convert = csv.ConvertOptions(
            column_types=dict(types), null_values=MISSING, strings_can_be_null=True, quoted_strings_can_be_null=True
        )
        read = csv.ReadOptions(column_names=self.names, encoding=self._encoding, block_size=1 << 22)
        table = csv.read_csv(pa.BufferReader(pa.py_buffer(data)), read, parse, convert)
        # As pandas, and because a date is to be written as it was read.
        dates = [f.name for f in table.schema if pa.types.is_temporal(f.type) and f.name not in types]
        return self._read(data, parse, {**types, **dict.fromkeys(dates, pa.string())}) if dates else table

    # ---- heads

    def _open(self, number: int) -> Any:
        return fsspec.core.OpenFile(self.system, self.files[number], "rb", compression=_packing(self.files[number]))

    def _head(self, number: int) -> bytes:
        if number not in self._heads:
            with self._open(number) as stream:
                self._heads[number] = bytes(RowCutter(stream, quoted=self._quoted).take(1))
        return self._heads[number]

    def _names(self, head: bytes) -> list[str]:
        if head.startswith(WIDE):
            raise DataError(f"{self.files[0]!r} is UTF-16, which cannot be cut into rows: save it as UTF-8.")
        body = head.removeprefix(BYTE_ORDER_MARK)
        if not body.strip():
            raise DataError(f"{self.files[0]!r} has no header line.")
        parse = csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=self._quoted)
        names = csv.read_csv(pa.BufferReader(body), csv.ReadOptions(encoding=self._encoding), parse).column_names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{self.files[0]!r} has column names twice: {', '.join(map(repr, twice))}. Rename them.")
        return list(names)

    def _drift(self, number: int, head: bytes) -> str:
        own = self._names(head)
        added = [name for name in own if name not in self.names]
        missing = [name for name in self.names if name not in own]
        told = f"added {added}, missing {missing}" if added or missing else "in another order"
        return f"{self.files[number]!r} has other columns than {self.files[0]!r}: {told}."


def _packing(path: str) -> str | None:
    found: str | None = fsspec.utils.infer_compression(path)
    return found


def _guess(path: str, head: bytes) -> str:
    if ".tsv" in path.rpartition("/")[2]:
        return "\t"
    line = re.sub(rb'"[^"]*"', b"", head)
    best = max(",;\t|", key=lambda mark: line.count(mark.encode()))
    return best if best.encode() in line else ","


def arrow_types(dtypes: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Return types by Arrow's or pandas' names for them.

    Raises:
        DataError: a name is unknown.
    """
    found: dict[str, pa.DataType] = {}
    for name, kind in dtypes.items():
        try:
            text = str(getattr(kind, "__name__", kind))
            found[name] = kind if isinstance(kind, pa.DataType) else pa.type_for_alias(PANDAS_NAMES.get(text, text))
        except ValueError as error:
            raise DataError(
                f"dtypes: {name!r} has the unknown type {kind!r}; string, int64, float64, bool are known."
            ) from error
    return found
