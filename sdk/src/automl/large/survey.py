"""One pass over all rows: how many, which levels, a random sample to search on, and rows to judge by."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.large.batches import EXPANSION
from automl.scalars import as_text, is_missing
from automl.target import MAX_CLASSES
from automl_core import DataError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.large.batches import Batches

__all__ = ["Reservoir", "Survey", "is_held_out", "row_hash", "take_survey"]

HELD_OUT = 10  # one row in so many is never learned from
MOST_HELD = 50_000
MOST_LEVELS = 100_000  # of a column that are counted; the rarest go, so that counts of what is left stay exact or low
log = logging.getLogger("automl.large")


@dataclass(slots=True, eq=False)
class Survey:
    """What one pass found.

    Attributes:
        rows: all of them; learnable: those that are not held out and have a target.
        sample: uniform, without replacement, of the learnable rows, and one row of each label that it would lack; all
            of them where they fit. held: some of the held-out rows, uniform.
        levels: how often each level of a category occurs, in all rows.
        labels: how often each label of the target occurs, in all rows; empty where there are more than 1,000.
    """

    batches: Batches
    target: str
    seed: int
    sample: pa.Table
    held: pa.Table
    rows: int = 0
    learnable: int = 0
    levels: dict[str, Counter[str]] = field(default_factory=dict)
    labels: Counter[Any] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is to learn from."""
        return bool(self.sample.num_rows >= self.learnable)


def row_hash(start: int, count: int, seed: int) -> NDArray[np.uint64]:
    """Return a hash of each row's number, the same whatever the batches: splitmix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = np.arange(start, start + count, dtype=np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def is_held_out(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    held: NDArray[np.bool_] = hashes % np.uint64(HELD_OUT) == 0
    return held


def known_targets(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return which rows have a target, bool (rows,)."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    known: NDArray[np.bool_] = (~pc.is_null(plain, nan_is_null=True).to_numpy()).astype(np.bool_)
    if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
        blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(plain), ""), True)
        known &= ~blank.to_numpy().astype(np.bool_)
    return known


class Reservoir:
    """Keeps the rows with the smallest hashes: a uniform sample without replacement, whatever their order."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._parts: list[tuple[pa.Table, NDArray[np.uint64], NDArray[np.int64]]] = []
        self._kept, self._highest = 0, np.uint64(2**64 - 1)

    def add(self, table: pa.Table, hashes: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
        keep = hashes <= self._highest
        if not keep.any():
            return
        self._parts.append((table.filter(pa.array(keep)), hashes[keep], numbers[keep]))
        self._kept += int(keep.sum())
        if self._kept > 1.5 * self.size:
            self._prune()

    def _prune(self) -> None:
        hashes = np.concatenate([part[1] for part in self._parts])
        if len(hashes) > self.size:
            self._highest = np.partition(hashes, self.size - 1)[self.size - 1]
        keep = hashes <= self._highest
        numbers = np.concatenate([part[2] for part in self._parts])[keep]
        table = _join([part[0] for part in self._parts]).filter(pa.array(keep)).combine_chunks()
        self._parts, self._kept = [(table, hashes[keep], numbers)], len(numbers)

    def table(self) -> tuple[pa.Table, NDArray[np.int64]]:
        """Return the sample in the order of the data, and the numbers of its rows."""
        if not self._parts:
            raise DataError("the table has no rows with a target to learn from.")
        self._prune()
        table, _, numbers = self._parts[0]
        return table, numbers


def _join(tables: list[pa.Table]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"parts of the data differ in their columns: {str(error).splitlines()[0]}") from error


def take_survey(batches: Batches, target: str | None, *, seed: int) -> Survey:
    """Read all rows once.

    Raises:
        DataError: there is no such target, or no row has one.
    """
    sample = held = None
    levels: dict[str, Counter[str]] = {}
    labels: Counter[Any] = Counter()
    first: dict[Any, tuple[int, pa.Table]] = {}
    rows = learnable = 0
    for table in batches:
        target = _check_target(table, target)
        if sample is None or held is None:
            sample, held = (Reservoir(size) for size in _sizes(table, batches.limit))
        hashes, numbers = row_hash(rows, table.num_rows, seed), np.arange(rows, rows + table.num_rows)
        known, out = known_targets(table[target]), is_held_out(hashes)
        for reservoir, chosen in ((sample, known & ~out), (held, known & out)):
            # The hash's lower digits decided who is held out; the order within each side follows the others.
            reservoir.add(table.filter(pa.array(chosen)), hashes[chosen] // np.uint64(HELD_OUT), numbers[chosen])
        _count_levels(levels, table, target)
        _count_labels(labels, first, table, target, rows, known & ~out)
        rows += table.num_rows
        learnable += int((known & ~out).sum())
    if sample is None or held is None or target is None:
        raise DataError("the table has no rows.")
    drawn, numbers = sample.table()
    if len(labels) > MAX_CLASSES:
        labels.clear()
    drawn = _with_rare(drawn, numbers, first if labels else {}, target)
    pa.default_memory_pool().release_unused()
    log.info("%d rows, of which %d are the sample to search on", rows, drawn.num_rows)
    apart = held.table()[0] if held._parts else drawn.slice(0, 0)
    return Survey(batches, target, seed, drawn, apart, rows, learnable, levels, labels)


def _check_target(table: pa.Table, target: str | None) -> str:
    if target is None:
        names = ", ".join(map(repr, table.column_names[:10]))
        raise DataError(f"name the column to predict: target='...', one of {names}.")
    if target not in table.column_names:
        raise DataError(f"the table has no column {target!r} to predict.{did_you_mean(target, table.column_names)}")
    return target


def _sizes(table: pa.Table, limit: int) -> tuple[int, int]:
    """Return the rows of the sample and of those held out that the limit allows."""
    each = max(table.nbytes / table.num_rows, 8 * table.num_columns)
    size = max(1000, int(limit / (EXPANSION * each)))
    return size, min(MOST_HELD, max(200, size // 3))


def _count_levels(levels: dict[str, Counter[str]], table: pa.Table, target: str) -> None:
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if name == target or not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind != column.type):
            continue
        counts = levels.setdefault(name, Counter())
        for item in pc.value_counts(column.cast(kind).drop_null()).to_pylist():
            if not is_missing(item["values"]):
                counts[as_text(item["values"])] += item["counts"]
        if len(counts) > 2 * MOST_LEVELS:
            levels[name] = Counter(dict(counts.most_common(MOST_LEVELS)))


def _count_labels(
    labels: Counter[Any],
    first: dict[Any, tuple[int, pa.Table]],
    table: pa.Table,
    target: str,
    start: int,
    learnable: NDArray[np.bool_],
) -> None:
    """Count labels as long as they are few, and keep a row of each."""
    if len(labels) > MAX_CLASSES:
        return
    column = table[target]
    column = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    if pa.types.is_nested(column.type):
        return
    for item in pc.value_counts(column.drop_null()).to_pylist()[: MAX_CLASSES + 1]:
        labels[item["values"]] += item["counts"]
    if len(labels) > MAX_CLASSES:
        first.clear()
        return
    values = column.to_pylist() if set(labels) - set(first) else []
    for place, value in enumerate(values):
        if learnable[place] and value not in first:
            first[value] = start + place, table.slice(place, 1)


def _with_rare(
    sample: pa.Table, numbers: NDArray[np.int64], first: dict[Any, tuple[int, pa.Table]], target: str
) -> pa.Table:
    """Return the sample with a row of each label that it lacks."""
    there = set(sample[target].to_pylist()) if first else set()
    drawn = set(numbers.tolist()) if first else set()
    extra = [row for value, (number, row) in first.items() if value not in there and number not in drawn]
    return _join([sample, *extra]) if extra else sample
