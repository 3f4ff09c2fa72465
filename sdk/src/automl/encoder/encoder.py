"""The whole encoder: rows or tables in, one float32 matrix out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from automl.encoder.categories import CategoryPart
from automl.encoder.dates import DatePart
from automl.encoder.frames import few_rows
from automl.encoder.numbers import NumberPart, TruthPart, plain_numbers, to_float32
from automl.encoder.part import Arrays, Part, Single, State
from automl.encoder.texts import TextPart
from automl.predictor.compiled import kernel
from automl.schema import BOOLEAN, CATEGORY, DATETIME, NUMBER, TEXT, Input, Schema
from automl_core import Column, DataError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Encoder"]

FORMAT = 1
SLICE = 1 << 18  # rows of an Arrow array at a time: bounds what is in memory beside the result
PLAIN = frozenset({float, int, str, bool, type(None)})
PARTS: dict[str, type[Part]] = {
    NUMBER: NumberPart,
    BOOLEAN: TruthPart,
    CATEGORY: CategoryPart,
    DATETIME: DatePart,
    TEXT: TextPart,
}


class Encoder:
    """Encodes rows as training encoded them; immutable, thread-safe and picklable.

    Numbers keep their value, as float32; a category is its code in falling order of frequency; a date becomes days and
    parts of the calendar; a text becomes counts and topics. Missing values are NaN. All ways in (a dict, a list of dicts,
    columns, arrays, tables, paths) give the same numbers for the same values. Encoding needs numpy alone, and pyarrow
    for what is neither a dict, a list nor a numpy array.

    Attributes:
        columns: of the matrix. Input columns of one output come first, then dates and texts, each in the table's order.
        inputs: names of all columns of the training table, in its order; an array without names is read by it.
        names: those that are learned from.
        source: int64 (columns,): the place in `names` of the input behind each column of the matrix.
    """

    def __init__(self, inputs: Sequence[str], parts: Sequence[Part]) -> None:
        self.inputs = tuple(inputs)
        self._singles = [part for part in parts if isinstance(part, Single)]
        self._wide = [part for part in parts if isinstance(part, DatePart | TextPart)]
        self.parts: tuple[Part, ...] = (*self._singles, *self._wide)
        if not self.parts or len(self.parts) != len(parts):
            raise DataError("an encoder needs at least one column, each of a known kind.")
        order = {name: place for place, name in enumerate(self.inputs)}
        self.names = tuple(sorted((part.name for part in self.parts), key=order.__getitem__))
        self.columns: tuple[Column, ...] = tuple(column for part in self.parts for column in part.columns)
        places = {name: place for place, name in enumerate(self.names)}
        self.source: NDArray[np.int64] = np.array(
            [places[p.name] for p in self.parts for _ in p.columns], dtype=np.int64
        )
        self._converters = [part.convert for part in self._singles]
        self._numbers = [place for place, part in enumerate(self._singles) if type(part) is NumberPart]
        self._get = _getter([part.name for part in self.parts])
        self._single_names = tuple(part.name for part in self._singles)
        self._codes = tuple(part.codes if isinstance(part, CategoryPart) else None for part in self._singles)
        self._probe = self.names[0]

    @property
    def categories(self) -> list[str]:
        """Names of the inputs that are categories."""
        return [part.name for part in self.parts if isinstance(part, CategoryPart)]

    def names_of(self, width: int) -> tuple[str, ...]:
        """Return the names of the columns of an array without names.

        Raises:
            DataError: it has neither as many columns as the training table nor as many as are learned from.
        """
        names = self.names if width == len(self.names) else self.inputs
        if width != len(names):
            raise DataError(f"the array has {width} columns, but the model was trained on {len(names)}.")
        return names

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder.from_state, self.state()

    @classmethod
    def fit(cls, table: pa.Table, schema: Schema, *, seed: int = 0) -> Encoder:
        """Learn how to encode a table.

        Args:
            table: as `open_table` returns it; more columns than the schema's do no harm.
            schema: what `describe` said of it.
            seed: of the sample and the SVD of texts.

        Raises:
            DataError: the schema leaves no column to learn from.
        """
        parts = [_fit_part(item, table[item.name], seed) for item in schema.used]
        return cls(schema.names, parts)

    def with_levels(self, levels: Mapping[str, Mapping[str, int]], rows: int) -> Encoder:
        """Return the encoder with categories of these levels, counted in so many rows; columns without any stay."""
        parts = [
            CategoryPart.of_counts(part.name, counted, rows)
            if isinstance(part, CategoryPart) and (counted := levels.get(part.name))
            else part
            for part in self.parts
        ]
        return Encoder(self.inputs, parts)

    # ---- encode

    def encode(self, data: Any, *, strict: bool = True) -> NDArray[np.float32]:
        """Return the matrix, shape (rows, columns), C-contiguous.

        Args:
            data: one row as a dict of values; a list of dicts; a dict of columns; or what `open_table` takes. Columns
                may come in any order, and others are ignored. An array without names must have as many columns as the
                training table (as `inputs`, or as `names`), in that order.
            strict: whether a missing column raises; else it counts as missing values, as long as one is there.

        Raises:
            DataError: a column is missing, holds what it cannot hold, or the data is no table.
        """
        if isinstance(data, dict) or isinstance(data, Mapping):  # noqa: SIM101 - a dict is told ten times faster
            return self._encode_row(data, strict) if self._is_row(data) else self._encode_columns(data, strict)
        if isinstance(data, list | tuple) and data and all(isinstance(item, Mapping) for item in data):
            return self._encode_rows(data, strict)
        if isinstance(data, np.ndarray):
            return self._encode_array(data, strict)
        if isinstance(data, list | tuple) and data and all(isinstance(item, list | tuple) for item in data):
            return self._encode_array(_to_array(data), strict)
        rows = few_rows(data)
        return self._encode_table(data, strict) if rows is None else self._encode_rows(rows, strict)

    def _is_row(self, data: Mapping[str, Any]) -> bool:
        value = data.get(self._probe)
        if type(value) in PLAIN and (value is not None or self._probe in data):
            return True
        present = [name for name in self.names if name in data]
        if not present:
            self._check_names(data, strict=True)
        return not any(_is_column(data[name]) for name in present)

    def _encode_row(self, row: Mapping[str, Any], strict: bool) -> NDArray[np.float32]:
        result = self._empty(1)
        try:
            if self._fill_plain(result, (row,), strict):
                encoded: list[float] = []
            else:
                values = self._get(row) if strict else [row.get(part.name) for part in self.parts]
                # zip stops at the shorter: the converters of parts with one column come first.
                encoded = [convert(value) for convert, value in zip(self._converters, values, strict=False)]
            for part in self._wide:
                encoded += part.expand(row[part.name] if strict else row.get(part.name))
        except (KeyError, TypeError, ValueError) as error:
            self._explain([row], error, strict)
        if encoded:
            result[0, len(self.columns) - len(encoded) :] = encoded
        return result

    def _fill_plain(self, result: NDArray[np.float32], rows: Sequence[Mapping[str, Any]], strict: bool) -> bool:
        """Fill the columns of inputs that have one each, compiled, where all values are plain numbers or known levels."""
        if kernel is None:
            return False
        done: int = kernel.encode_rows(rows, self._single_names, self._codes, strict, result)
        return done == len(rows)

    def _encode_rows(self, rows: Sequence[Mapping[str, Any]], strict: bool) -> NDArray[np.float32]:
        if len(rows) == 1:
            return self._encode_row(rows[0], strict)
        result = self._empty(len(rows))
        try:
            done = len(self._singles) if self._fill_plain(result, rows, strict) else 0
            for part, place in self._places()[done:]:
                column = [row[part.name] if strict else row.get(part.name) for row in rows]
                result[:, place] = part.block(column)
        except (KeyError, TypeError, ValueError) as error:
            self._explain(rows, error, strict)
        return result

    def _fill_number_columns(self, result: NDArray[np.float32], data: Mapping[str, Any]) -> set[int]:
        """Fill the columns of numbers where all are lists of plain ones or of missing values, and return their places.

        One by one they cost more than predicting from them.
        """
        columns = [data.get(self._singles[place].name) for place in self._numbers]
        if not columns or not all(type(column) is list for column in columns):
            return set()
        values = plain_numbers(columns)
        if values is None or values.ndim != 2:
            return set()
        result[:, self._numbers] = values.T
        return set(self._numbers)

    def _encode_columns(self, data: Mapping[str, Any], strict: bool) -> NDArray[np.float32]:
        if not all(isinstance(data[name], list | tuple | np.ndarray) for name in self.names if name in data):
            return self._encode_table(data, strict)
        self._check_names(data, strict)
        lengths = {name: len(data[name]) for name in self.names if name in data}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name!r} has {length}" for name, length in list(lengths.items())[:5])
            raise DataError(f"the columns differ in length: {told}.")
        rows = next(iter(lengths.values()), 0)
        if not rows:
            raise DataError("the table has no rows.")
        result = self._empty(rows)
        done = self._fill_number_columns(result, data)
        for part, place in self._places():
            if place.start in done:
                continue
            values = data.get(part.name, [None] * rows)
            if isinstance(values, np.ndarray) and values.ndim != 1:
                raise DataError(f"column {part.name!r} must have one dimension, not shape {values.shape}.")
            result[:, place] = _told(part, part.numpy if isinstance(values, np.ndarray) else part.block, values)
        return result

    def _encode_array(self, data: NDArray[Any], strict: bool) -> NDArray[np.float32]:
        if data.dtype.names:
            return self._encode_columns({name: data[name] for name in data.dtype.names}, strict)
        if data.ndim != 2:
            raise DataError(f"the array has shape {data.shape}; it must have two dimensions, (rows, columns).")
        names = self.names_of(data.shape[1])
        if data.dtype.kind in "fiu" and len(data) and len(self._numbers) == len(self.parts):
            places = [names.index(part.name) for part in self.parts]
            return to_float32(np.ascontiguousarray(data[:, places]))
        return self._encode_columns({name: data[:, place] for place, name in enumerate(names)}, strict)

    def _encode_table(self, data: Any, strict: bool) -> NDArray[np.float32]:
        try:
            from automl.table import open_table
        except ModuleNotFoundError as error:
            raise DataError(
                f"predicting a {type(data).__name__} needs pyarrow (pip install pyarrow); dicts, lists and numpy arrays do not."
            ) from error
        table = open_table(data, columns=self.names if strict else None)
        present = dict.fromkeys(table.column_names)
        if not any(name in present for name in self.names):
            self._check_names(present, strict=True)
        result = self._empty(table.num_rows)
        for part, place in self._places():
            if part.name in present:
                _fill(result[:, place], part, table[part.name])
            else:
                result[:, place] = part.block([None])
        return result

    # ---- what went wrong

    def _check_names(self, given: Mapping[str, Any], strict: bool) -> None:
        missing = [name for name in self.names if name not in given] if strict else []
        if missing:
            told = ", ".join(map(repr, missing[:10])) + (", ..." if len(missing) > 10 else "")
            hint = did_you_mean(missing[0], [str(name) for name in given if name not in self.inputs])
            raise DataError(f"the data lacks the column{'s' * (len(missing) > 1)} {told}.{hint}")

    def _explain(self, rows: Sequence[Mapping[str, Any]], error: Exception, strict: bool) -> NoReturn:
        """Find the column and row to blame; the fast ways do not keep track of them."""
        for number, row in enumerate(rows):
            try:
                self._check_names(row, strict)
                for part in self.parts:
                    _told(part, part.block, [row.get(part.name)])
            except DataError as found:
                where = f"row {number}: " if len(rows) > 1 else ""
                raise DataError(f"{where}{found}") from error
        raise error

    # ---- places

    def _empty(self, rows: int) -> NDArray[np.float32]:
        return np.empty((rows, len(self.columns)), dtype=np.float32)

    def _places(self) -> list[tuple[Part, slice]]:
        ends = np.cumsum([len(part.columns) for part in self.parts]).tolist()
        return [(part, slice(end - len(part.columns), end)) for part, end in zip(self.parts, ends, strict=True)]

    # ---- keep

    def state(self) -> tuple[State, dict[str, NDArray[Any]]]:
        """Return all there is to keep: plain JSON, and arrays by name."""
        arrays: dict[str, NDArray[Any]] = {}
        parts: list[State] = []
        for number, part in enumerate(self.parts):
            state, own = part.state()
            parts.append({"kind": part.kind, "name": part.name, **state})
            arrays.update({f"{number}.{name}": array for name, array in own.items()})
        return {"format": FORMAT, "inputs": list(self.inputs), "parts": parts}, arrays

    @classmethod
    def from_state(cls, state: State, arrays: Arrays) -> Encoder:
        """Return the encoder that `state` described; runs no code from it.

        Raises:
            DataError: it is no state of an encoder, or of a newer format.
        """
        try:
            if state["format"] > FORMAT:
                raise DataError(f"the encoder's format {state['format']} is newer than {FORMAT}: upgrade automl-sdk.")
            parts = [_load_part(number, item, arrays) for number, item in enumerate(state["parts"])]
            return cls([str(name) for name in state["inputs"]], parts)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"this is no state of an encoder: {error!r}.") from error


def _fit_part(item: Input, column: pa.ChunkedArray, seed: int) -> Part:
    if item.kind == CATEGORY:
        return CategoryPart.fit(item.name, column)
    if item.kind == DATETIME:
        return DatePart.fit(item.name, column)
    if item.kind == TEXT:
        return TextPart.fit(item.name, column, seed=seed)
    return TruthPart(item.name) if item.kind == BOOLEAN else NumberPart(item.name)


def _load_part(number: int, item: State, arrays: Arrays) -> Part:
    kind = item["kind"]
    if kind not in PARTS:
        raise DataError(f"the encoder has a column of an unknown kind {kind!r}.")
    prefix = f"{number}."
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    return PARTS[kind].from_state(item, own)


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    only = names[0]
    return lambda row: (row[only],)


def _is_column(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__")


def _to_array(rows: Sequence[Sequence[Any]]) -> NDArray[Any]:
    plain = plain_numbers(rows)
    return _to_objects(rows) if plain is None or plain.ndim != 2 else plain


def _to_objects(rows: Sequence[Sequence[Any]]) -> NDArray[Any]:
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise DataError(f"the rows differ in length: {', '.join(map(str, sorted(widths)))} values.")
    result = np.empty((len(rows), widths.pop()), dtype=object)
    for number, row in enumerate(rows):
        for place, value in enumerate(row):
            result[number, place] = value
    return result


def _told(part: Part, encode: Callable[[Any], NDArray[np.float32]], values: Any) -> NDArray[np.float32]:
    try:
        return encode(values)
    except (TypeError, ValueError) as error:
        text = str(error)
        if "unhashable" in text:
            text = f"expects one value, got a {text.split()[-1].strip(chr(39))}"
        raise DataError(f"column {part.name!r} {text}.") from error


def _fill(result: NDArray[np.float32], part: Part, column: pa.ChunkedArray) -> None:
    done = 0
    for chunk in column.chunks:
        for start in range(0, len(chunk), SLICE):
            block = _told(part, part.arrow, chunk.slice(start, SLICE))
            result[done : done + len(block)] = block
            done += len(block)
