"""What one column of a table is: its kind, whether to learn from it, and its statistics."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from automl.dates import MISSING, parse_date, to_micros_column
from automl.scalars import MISSING_WORDS, as_number, as_text
from automl.schema import BOOLEAN, CATEGORY, DATETIME, NESTED, NUMBER, TEXT, Input, Statistics
from automl_core.words import word_of

__all__ = ["describe_column", "find_duplicates"]

BINS = 20
TOP_LEVELS = 50
EXAMPLES = 3
LONGEST_EXAMPLE = 60
SAMPLE = 1000
READABLE_DATES = 0.95
TEXT_WORDS = 3.0
TEXT_DISTINCT = 0.1  # of the rows; below, a long string is the name of a level
TEXT_LEVELS = 30
TEXT_SAMPLE = 20_000  # different texts whose words are counted
CODES = 50
ID_ROWS = 100  # fewer rows say little about whether a column is an id
ID_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|index|key|no|nr)$|[a-z](Id|ID)$")
LEADING_ZERO = re.compile(r"\s*[+-]?0\d")


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The different values of a column, most frequent first, and the rows of each."""

    values: list[Any]
    counts: NDArray[np.int64]
    rows: int

    @property
    def present(self) -> int:
        return int(self.counts.sum())


def describe_column(name: str, column: pa.ChunkedArray) -> Input:
    """Describe a column in one of the types that `open_table` promises."""
    kind, types, told = column.type, pa.types, str(column.type)
    if types.is_null(kind) or column.null_count == len(column):
        return Input(name, told, CATEGORY, "all values are missing", (), Statistics(missing=1.0))
    if types.is_boolean(kind):
        return _describe_numbers(name, told, BOOLEAN, column.cast(pa.uint8()).cast(pa.float64()))
    if types.is_integer(kind) or types.is_floating(kind):
        return _describe_numbers(name, told, NUMBER, column)
    if types.is_temporal(kind):
        return _describe_dates(name, told, to_micros_column(column))
    if types.is_dictionary(kind):
        return _describe_category(name, told, count_levels(column))
    if types.is_string(kind) or types.is_large_string(kind):
        return _describe_strings(name, told, count_levels(column))
    why = (
        "it holds bytes" if types.is_binary(kind) or types.is_large_binary(kind) else f"its values are nested ({told})"
    )
    return Input(name, told, NESTED, why, (), Statistics(missing=column.null_count / len(column)))


def count_levels(column: pa.ChunkedArray) -> Levels:
    """Count the values of a column; missing ones are left out."""
    rows = len(column)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    counted = pc.value_counts(column.drop_null())
    counts = counted.field("counts").to_numpy(zero_copy_only=False)
    values = counted.field("values").to_pylist()
    order = [
        i for i in np.argsort(-counts, kind="stable").tolist() if values[i] == values[i]
    ]  # a category may hold NaN
    return Levels([values[i] for i in order], counts[order].astype(np.int64), rows)


# ---- numbers and dates


def _describe_numbers(name: str, told: str, kind: str, column: pa.ChunkedArray) -> Input:
    values = column.to_numpy().astype(np.float64, copy=False)
    infinite = int(np.isinf(values).sum())
    statistics = summarise(values[np.isfinite(values)], len(values))
    notes = [f"{infinite} infinite values count as missing"] if infinite else []
    if kind == NUMBER and pa.types.is_integer(column.type) and _looks_like_id(name, values, statistics):
        notes.append("looks like an id: another value in every row")
    return Input(name, told, kind, _uninformative(statistics), tuple(notes), statistics)


def _looks_like_id(name: str, values: NDArray[np.float64], statistics: Statistics) -> bool:
    if len(values) < ID_ROWS or statistics.distinct < len(values):
        return False
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all()) or ID_NAME.search(name) is not None


def _describe_dates(name: str, told: str, micros: NDArray[np.int64], notes: tuple[str, ...] = ()) -> Input:
    statistics = summarise(micros[micros != MISSING] / 1e6, len(micros))
    return Input(name, told, DATETIME, _uninformative(statistics), notes, statistics)


def summarise(values: NDArray[np.float64], rows: int) -> Statistics:
    """Summarise the finite values of a column of `rows` rows."""
    if not len(values):
        return Statistics(missing=1.0)
    ordered = np.sort(values)
    changes = np.flatnonzero(np.diff(ordered))
    # A quantile that lies between two values could round to neither: take the value below.
    places = np.linspace(0, len(ordered) - 1, BINS + 1).astype(np.int64)
    edges = np.unique(ordered[places])
    starts = np.searchsorted(ordered, edges[:-1], side="left") if len(edges) > 1 else np.zeros(1, dtype=np.int64)
    counts = np.diff(np.append(starts, len(ordered)))
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(ordered.mean()), float(ordered.std())
    return Statistics(
        missing=1 - len(values) / rows,
        distinct=len(changes) + 1,
        minimum=float(ordered[0]),
        maximum=float(ordered[-1]),
        mean=mean if math.isfinite(mean) else None,
        deviation=deviation if math.isfinite(deviation) else None,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts) if len(edges) > 1 else (),
        examples=tuple(as_text(float(value)) for value in values[:EXAMPLES]),
    )


def _uninformative(statistics: Statistics) -> str:
    if statistics.missing == 1:
        return "all values are missing"
    return "constant" if statistics.distinct == 1 and statistics.missing == 0 else ""


# ---- strings


def _describe_strings(name: str, told: str, levels: Levels) -> Input:
    numbers = _read_numbers(levels)
    if numbers is not None:
        values = np.repeat(numbers, levels.counts)
        statistics = summarise(values[np.isfinite(values)], levels.rows)
        return Input(name, told, NUMBER, _uninformative(statistics), ("numbers kept as text",), statistics)
    micros = _read_dates(levels)
    if micros is not None:
        unreadable = int(levels.counts[micros == MISSING].sum())
        notes = (f"{unreadable} values are no ISO dates and count as missing",) if unreadable else ()
        padding = np.full(levels.rows - levels.present, MISSING)
        return _describe_dates(name, told, np.concatenate([np.repeat(micros, levels.counts), padding]), notes)
    if _is_text(levels):
        return Input(name, told, TEXT, "", (), _summarise_text(levels))
    return _describe_category(name, told, levels)


def _read_numbers(levels: Levels) -> NDArray[np.float64] | None:
    numbers = np.empty(len(levels.values))
    for i, value in enumerate(levels.values):
        if LEADING_ZERO.match(value):
            return None  # a postcode or a code, not a quantity
        try:
            numbers[i] = as_number(value)
        except ValueError:
            return None
    finite = numbers[np.isfinite(numbers)]
    if len(finite) == len(numbers) <= CODES and bool((finite == np.floor(finite)).all()):
        return None  # whoever kept these few whole numbers as strings meant codes
    return numbers if len(finite) else None


def _read_dates(levels: Levels) -> NDArray[np.int64] | None:
    sample = list(zip(levels.values[:SAMPLE], levels.counts.tolist(), strict=False))
    words = [(value, count) for value, count in sample if value.strip().lower() not in MISSING_WORDS]
    readable = sum(count for value, count in words if parse_date(value) != MISSING)
    if not readable or readable < READABLE_DATES * sum(count for _, count in words):
        return None
    return np.array([parse_date(value) for value in levels.values], dtype=np.int64)


def _is_text(levels: Levels) -> bool:
    if len(levels.values) < max(TEXT_LEVELS, TEXT_DISTINCT * levels.present):
        return False
    step = max(1, len(levels.values) // SAMPLE)
    sample = levels.values[::step]
    return sum(len(value.split()) for value in sample) > TEXT_WORDS * len(sample)


def _summarise_text(levels: Levels) -> Statistics:
    lengths = np.repeat(np.array([len(value) for value in levels.values], dtype=np.float64), levels.counts)
    whole = summarise(lengths, levels.rows)
    return Statistics(
        missing=whole.missing,
        distinct=len(levels.values),
        minimum=whole.minimum,
        maximum=whole.maximum,
        mean=whole.mean,
        deviation=whole.deviation,
        edges=whole.edges,
        counts=whole.counts,
        examples=_examples(levels),
        **_count_words(levels),
    )


def _count_words(levels: Levels) -> dict[str, Any]:
    step = -(-len(levels.values) // TEXT_SAMPLE)
    words: Counter[str] = Counter()
    for value, count in zip(levels.values[::step], levels.counts[::step].tolist(), strict=True):
        words[word_of(value)] += count
    top = words.most_common(TOP_LEVELS)
    other = words.total() - sum(count for _, count in top)
    return {"levels": tuple(word for word, _ in top), "level_counts": tuple(count for _, count in top), "other": other}


def _describe_category(name: str, told: str, levels: Levels) -> Input:
    top = min(len(levels.values), TOP_LEVELS)
    statistics = Statistics(
        missing=1 - levels.present / levels.rows,
        distinct=len(levels.values),
        levels=tuple(as_text(value) for value in levels.values[:top]),
        level_counts=tuple(int(count) for count in levels.counts[:top]),
        other=int(levels.counts[top:].sum()),
        examples=_examples(levels),
    )
    why = _uninformative(statistics)
    if not why and levels.rows >= ID_ROWS and statistics.distinct == levels.present:
        why = "an id: no value appears twice"
    return Input(name, told, CATEGORY, why, (), statistics)


def _examples(levels: Levels) -> tuple[str, ...]:
    texts = (as_text(value) for value in levels.values[:EXAMPLES])
    return tuple(text if len(text) <= LONGEST_EXAMPLE else f"{text[: LONGEST_EXAMPLE - 3]}..." for text in texts)


# ---- between columns


def find_duplicates(table: pa.Table, inputs: Sequence[Input]) -> dict[str, str]:
    """Return the columns that equal an earlier one, and why that drops them."""
    reasons: dict[str, str] = {}
    alike: dict[tuple[Any, ...], list[Input]] = defaultdict(list)
    for item in inputs:
        s = item.statistics
        key = (item.kind, s.distinct, round(s.missing, 12), s.minimum, s.maximum, s.counts, s.levels, s.level_counts)
        twin = next((other for other in alike[key] if _equal(table[item.name], table[other.name])), None)
        if twin is None:
            alike[key].append(item)
        else:
            reasons[item.name] = f"equal to {twin.name!r}"
    return reasons


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(left.type) or pa.types.is_floating(right.type) or left.type != right.type:
        if not all(pa.types.is_integer(c.type) or pa.types.is_floating(c.type) for c in (left, right)):
            return False
        return np.array_equal(left.to_numpy(), right.to_numpy(), equal_nan=True)  # NaN differs from itself in Arrow
    return bool(left.equals(right))
