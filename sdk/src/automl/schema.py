"""What a table's columns are: kinds, roles and statistics, kept with the model and compared with later data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from automl_core import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BOOLEAN",
    "CATEGORY",
    "DATETIME",
    "KINDS",
    "NESTED",
    "NUMBER",
    "TEXT",
    "Input",
    "Schema",
    "Statistics",
    "describe",
]

NUMBER, CATEGORY, BOOLEAN, DATETIME, TEXT, NESTED = "number", "category", "boolean", "datetime", "text", "nested"
KINDS = frozenset({NUMBER, CATEGORY, BOOLEAN, DATETIME, TEXT, NESTED})


@dataclass(frozen=True, slots=True)
class Statistics:
    """A column in the training table: its part of the model card, and the profile that later data is compared with.

    Attributes:
        missing: the fraction of rows without a value, infinite and unreadable values included.
        distinct: how many different values.
        minimum, maximum, mean, deviation: of numbers and truths; of dates in seconds since 1970; of texts, their length
            in characters; None for categories.
        edges: float, increasing: quantiles, so that bin i holds edges[i] <= value < edges[i + 1], the last one its upper
            edge too. counts: the rows in each bin, len(edges) - 1.
        levels, level_counts: the most frequent levels of a category and their rows; other: rows of all other levels. Of
            texts likewise, `automl_core.words.word_of` each, in a sample of the rows.
        examples: a few values as text.
    """

    missing: float = 0.0
    distinct: int = 0
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    level_counts: tuple[int, ...] = ()
    other: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """One column of the table that a model was trained on.

    Attributes:
        type: Arrow's name of the type.
        kind: one of `KINDS`.
        dropped: why the column is not learned from; empty for one that is.
        notes: what a reader should know: a likely id, infinite values, numbers kept as text.
    """

    name: str
    type: str
    kind: str
    dropped: str = ""
    notes: tuple[str, ...] = ()
    statistics: Statistics = Statistics()

    @property
    def used(self) -> bool:
        return not self.dropped


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a table, without the target, in its order.

    Attributes:
        rows: how many rows the table had.
    """

    rows: int
    inputs: tuple[Input, ...]

    def __getitem__(self, name: str) -> Input:
        for item in self.inputs:
            if item.name == name:
                return item
        raise KeyError(name)

    @property
    def used(self) -> tuple[Input, ...]:
        """Return the columns that are learned from."""
        return tuple(item for item in self.inputs if item.used)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all columns, dropped ones included."""
        return tuple(item.name for item in self.inputs)

    def drop(self, reasons: Mapping[str, str]) -> Schema:
        """Return the schema with these columns dropped, each for the given reason.

        Raises:
            KeyError: there is no such column.
        """
        for name in reasons:
            self[name]
        inputs = (replace(i, dropped=reasons[i.name]) if i.name in reasons else i for i in self.inputs)
        return Schema(self.rows, tuple(inputs))

    def to_json(self) -> dict[str, Any]:
        """Return plain lists, dicts, strings and numbers."""
        return {"rows": self.rows, "inputs": [asdict(item) for item in self.inputs]}

    @classmethod
    def from_json(cls, body: Any) -> Schema:
        """Return what `to_json` wrote, also after a journey through JSON.

        Raises:
            DataError: it is no schema.
        """
        try:
            inputs = [Input(**{**item, "statistics": Statistics(**item["statistics"])}) for item in body["inputs"]]
            schema = cls(int(body["rows"]), tuple(_with_tuples(item) for item in inputs))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"this is no schema of a table: {error!r}.") from error
        unknown = {item.kind for item in schema.inputs} - KINDS
        if unknown:
            raise DataError(f"the schema has columns of an unknown kind: {', '.join(sorted(map(repr, unknown)))}.")
        return schema


def describe(table: pa.Table, target: str | None = None) -> Schema:
    """Decide what each column is and whether to learn from it.

    A string column is a number where every value reads as one or as a word for missing, unless it holds at most 50 whole
    numbers and nothing else, which are codes; a date where 95 % read as ISO 8601 (the others then
    count as missing); text where it has more than three words on average and few repetitions; else a category. Numbers
    stay numbers however few values they take; pandas' and Arrow's dictionary columns are categories.

    A column is dropped that is constant, all missing, nested or binary, equal to an earlier one, or a category with
    another level in every row. A numeric id is kept, with a note.

    Args:
        table: as `open_table` returns it.
        target: the name of a column to leave out.

    Raises:
        DataError: no column is left to learn from.
    """
    from automl.inputs import describe_column, find_duplicates

    names = [name for name in table.column_names if name != target]
    schema = Schema(table.num_rows, tuple(describe_column(name, table[name]) for name in names))
    schema = schema.drop(find_duplicates(table, schema.used))
    if not schema.used:
        told = "; ".join(f"{item.name!r}: {item.dropped}" for item in schema.inputs[:5])
        raise DataError(f"no column can be learned from ({told or 'the table holds the target alone'}).")
    return schema


def _with_tuples(item: Any) -> Any:
    if isinstance(item, Input):
        item = replace(item, statistics=_with_tuples(item.statistics))
    lists = {f.name: tuple(v) for f in fields(item) if isinstance(v := getattr(item, f.name), list)}
    return replace(item, **lists)
