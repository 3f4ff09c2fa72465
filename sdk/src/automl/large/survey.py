"""One pass over all rows: how many, which levels, a random sample to search on, and rows to judge by."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automl.large.batches import EXPANSION
from automl.large.fates import HELD_OUT, WATCHED, Fates, order, row_hash, side
from automl.scalars import as_text, is_missing
from automl.target import MAX_CLASSES
from automl_core import DataError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.large.batches import Batches

    Choose = Callable[[NDArray[np.uint64], int], NDArray[np.bool_]]

__all__ = ["Reservoir", "Survey", "choose_rows", "known_targets", "take_survey"]

MOST_WATCHED = 25_000
HELD_OUT_SHARE = 1 / 4  # of the limit, that predictions of the held-out rows may take
MOST_LEVELS = 100_000  # of a column that are counted; the rarest go, so that counts of what is left stay exact or low
log = logging.getLogger("automl.large")


@dataclass(slots=True, eq=False)
class Survey:
    """What one pass found.

    Attributes:
        rows: all of them; known: those with a target; learnable: those of these that are neither watched nor held out.
        sample: uniform, without replacement, of the learnable rows, and one row of each label that it would lack; all
            of them where they fit. watched: rows that end fits on all rows and weigh their models; none where the sample
            is all there is to learn from. held_out: how many rows no model sees.
        seconds: what the pass took.
        levels: how often each level of a category occurs, in all rows.
        labels: how often each label of the target occurs, in all rows; empty where there are more than 1,000.
    """

    batches: Batches
    target: str
    seed: int
    fates: Fates
    sample: pa.Table
    watched: pa.Table
    held_out: int
    rows: int
    known: int
    learnable: int
    seconds: float
    levels: dict[str, Counter[str]]
    labels: Counter[Any]

    @property
    def complete(self) -> bool:
        """Whether the sample is all there is to learn from."""
        return bool(self.sample.num_rows >= self.learnable)

    def held_out_rows(self) -> Iterator[pa.Table]:
        """Read all rows again, and yield those that no model saw, part by part."""
        return self._again(self.fates.are_held_out)

    def learnable_rows(self, highest: int) -> Iterator[pa.Table]:
        """Read all rows again, and yield those to learn from whose hashes are at most so high, part by part."""
        return self._again(lambda h, start: self.fates.are_learned(h, start) & (h <= np.uint64(highest)))

    def _again(self, choose: Choose) -> Iterator[pa.Table]:
        return choose_rows(self.batches, 0, self.target, self.seed, choose)


def choose_rows(tables: Iterable[pa.Table], start: int, target: str, seed: int, choose: Choose) -> Iterator[pa.Table]:
    """Yield the chosen rows of tables whose first row has the number `start`, as far as they have a target.

    Args:
        choose: from the hashes of some rows, and the number of the first, to which of them are chosen.
    """
    for table in tables:
        chosen = known_targets(table[target]) & choose(row_hash(start, table.num_rows, seed), start)
        start += table.num_rows
        if chosen.any():
            yield table.filter(pa.array(chosen))


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

    @property
    def last(self) -> np.uint64 | None:
        """The highest hash that is in the sample, or would be; None where there are no rows."""
        return self._highest if self._parts else None

    def table(self) -> tuple[pa.Table, NDArray[np.int64]]:
        """Return the sample in the order of the data, and the numbers of its rows.

        Raises:
            DataError: there are no rows.
        """
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


def take_survey(batches: Batches, target: str | None, *, seed: int, held_out: int = 0) -> Survey:
    """Read all rows once.

    Args:
        held_out: how many rows at most no model shall see, of one in twenty.

    Raises:
        DataError: there is no such target, or no row has one.
    """
    began = time.monotonic()
    sides: tuple[Reservoir, ...] = ()
    levels: dict[str, Counter[str]] = {}
    labels: Counter[Any] = Counter()
    first: dict[Any, tuple[int, pa.Table]] = {}
    rows = known_rows = 0
    for table in batches:
        target = _check_target(table, target)
        sides = sides or tuple(Reservoir(size) for size in (*_sizes(table, batches.limit), held_out))
        hashes, numbers = row_hash(rows, table.num_rows, seed), np.arange(rows, rows + table.num_rows)
        known = known_targets(table[target])
        watched = known & side(hashes, WATCHED)
        out = known & side(hashes, HELD_OUT) if held_out else np.zeros_like(known)
        for reservoir, chosen in zip(sides, (known & ~watched & ~out, watched, out), strict=True):
            part = table.select([target]) if reservoir is sides[2] else table
            reservoir.add(part.filter(pa.array(chosen)), order(hashes[chosen]), numbers[chosen])
        _count_levels(levels, table, target)
        _count_labels(labels, first, table, target, rows, known)
        rows += table.num_rows
        known_rows += int(known.sum())
    if not sides or target is None:
        raise DataError("the table has no rows.")
    if len(labels) > MAX_CLASSES:
        labels.clear()
    sides[2].size = min(held_out, int(HELD_OUT_SHARE * batches.limit / (8 * (len(labels) + 3))))
    drawn = _draw(sides, first if labels else {}, target, known_rows)
    pa.default_memory_pool().release_unused()
    seconds = time.monotonic() - began
    log.info(
        "%d rows, of which %d are the sample to search on and %d are held out",
        rows, drawn["sample"].num_rows, drawn["held_out"],
    )  # fmt: skip
    return Survey(
        batches, target, seed, rows=rows, known=known_rows, seconds=seconds, levels=levels, labels=labels, **drawn
    )


def _draw(
    sides: tuple[Reservoir, ...], first: Mapping[Any, tuple[int, pa.Table]], target: str, known: int
) -> dict[str, Any]:
    """Return fates, sample, watched, held_out and learnable of a survey."""
    (sample, numbers), nothing = sides[0].table(), np.empty(0, dtype=np.int64)
    there = set(sample[target].to_pylist()) if first else set()
    rare = [(number, row) for value, (number, row) in first.items() if value not in there]
    learned = np.array([number for number, _ in rare], dtype=np.int64)
    sample, numbers = _join([sample, *(row for _, row in rare)]), np.concatenate([numbers, learned])
    watched, places = sides[1].table() if sides[1].last is not None else (sample.slice(0, 0), nothing)
    apart = ~np.isin(places, learned)
    watched, places = watched.filter(pa.array(apart)), places[apart]
    held_out = len(np.setdiff1d(sides[2].table()[1], learned)) if sides[2].last is not None else 0
    fates = Fates(sides[1].last, sides[2].last, learned)
    if sample.num_rows >= known - held_out - watched.num_rows:  # then there will be no fits on more rows
        sample = _join([sample, watched]).take(np.argsort(np.concatenate([numbers, places])))
        watched, fates = watched.slice(0, 0), replace(fates, watched=None)
    learnable = known - held_out - watched.num_rows
    return {"fates": fates, "sample": sample, "watched": watched, "held_out": held_out, "learnable": learnable}


def _check_target(table: pa.Table, target: str | None) -> str:
    if target is None:
        names = ", ".join(map(repr, table.column_names[:10]))
        raise DataError(f"name the column to predict: target='...', one of {names}.")
    if target not in table.column_names:
        raise DataError(f"the table has no column {target!r} to predict.{did_you_mean(target, table.column_names)}")
    return target


def _sizes(table: pa.Table, limit: int) -> tuple[int, int]:
    """Return the rows of the sample and of those watched that the limit allows."""
    each = max(table.nbytes / table.num_rows, 8 * table.num_columns)
    size = max(1000, int(limit / (EXPANSION * each)))
    return size, min(MOST_WATCHED, max(100, size // 6))


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
    known: NDArray[np.bool_],
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
        if known[place] and value not in first:
            first[value] = start + place, table.slice(place, 1)
