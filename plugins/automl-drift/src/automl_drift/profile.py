"""The frozen reference of one feature, and the counts that later values are reduced to."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core import DataError
from automl_core.words import word_of

__all__ = ["Counts", "Profile", "profiles_of_schema"]

Counts = NDArray[np.int64]
BINS = 20
MOST_LEVELS = 50
MANY, MOST = 300, 100_000  # values that are counted by comparing all of them with each edge


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Bins of one feature and the reference's counts in them.

    Counts of sketches with the same `key` add up: over workers, over time, in any order.

    Attributes:
        kind: "number", "category", "datetime" (seconds since 1970), "text" (its length in characters) or "words" (one
            word of each text, see `automl_core.words.word_of`).
        edges: float64, increasing, at least two, for all with numbers; bin i holds edges[i] <= value < edges[i + 1],
            the last one its upper edge too.
        levels: the levels that count on their own, for categories and words.
        counts: int64. Of edges: below, one per bin, above, missing. Of levels: one per level, any other, missing.
            What is not finite or cannot be read counts as missing.
        importance: weight in the ranking of features, at least 0.
        reads: the column whose values are counted; empty where it is called as the profile is.
    """

    name: str
    kind: str
    counts: Counts
    edges: NDArray[np.float64] | None = None
    levels: tuple[str, ...] = ()
    importance: float = 1.0
    reads: str = ""

    @property
    def column(self) -> str:
        return self.reads or self.name

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @property
    def key(self) -> str:
        """Identify the bins and the reference's counts."""
        state = blake2b(repr((self.name, self.kind, self.levels)).encode(), digest_size=8)
        state.update(self.counts.tobytes())
        if self.edges is not None:
            state.update(self.edges.tobytes())
        return state.hexdigest()

    @property
    def labels(self) -> tuple[str, ...]:
        """Return a text for each count."""
        if self.edges is None:
            return (*self.levels, "(other)", "(missing)")
        inner = (f"{low:.6g} to {high:.6g}" for low, high in zip(self.edges, self.edges[1:], strict=False))
        return (f"below {self.edges[0]:.6g}", *inner, f"above {self.edges[-1]:.6g}", "(missing)")

    def count(self, values: Sequence[Any] | NDArray[Any]) -> Counts:
        """Return the counts of some values, as int64 of the length of `counts`."""
        return self._count_levels(values) if self.edges is None else self._count_numbers(_numbers(self.kind, values))

    def _count_numbers(self, values: NDArray[np.float64]) -> Counts:
        assert self.edges is not None  # noqa: S101 - for mypy
        finite = np.isfinite(values)
        missing = len(values) - int(np.count_nonzero(finite))
        if missing:
            values = values[finite]
        edges = self.edges.copy()
        edges[-1] = np.nextafter(edges[-1], math.inf)  # the upper edge is in the last bin
        counts = np.bincount(_places(edges, values), minlength=len(self.counts)).astype(np.int64, copy=False)
        counts[-1] = missing
        return counts

    def _count_levels(self, values: Sequence[Any] | NDArray[Any]) -> Counts:
        places = {level: place for place, level in enumerate(self.levels)}
        counts = np.zeros(len(self.counts), dtype=np.int64)
        listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if self.kind == "words":
            listed = [word_of(value) if isinstance(value, str) else None for value in listed]
        try:
            different: Mapping[Any, int] = Counter(listed)
        except TypeError:  # an unhashable value is a strange level, not a reason to lose the batch
            different = Counter(map(repr, listed))
        for value, number in different.items():
            text = _text(value)
            counts[-1 if text is None else places.get(text, len(self.levels))] += number
        return counts

    @classmethod
    def of(
        cls, name: str, values: Sequence[Any] | NDArray[Any], *, bins: int = BINS, importance: float = 1.0
    ) -> Profile:
        """Build the reference from its values: numbers in bins of about equal counts, anything else as levels.

        Numbers with at most `bins` different values get a bin for each of them.

        Raises:
            DataError: there is no usable value.
        """
        array = np.asarray(values)
        if array.ndim != 1:
            raise DataError(f"the reference of {name!r} has shape {array.shape}; give one value per row.")
        if array.dtype.kind in "fiu":
            numbers = array.astype(np.float64)
            finite = np.sort(numbers[np.isfinite(numbers)])
            if not len(finite):
                raise DataError(f"the reference of {name!r} has no finite value; give at least one.")
            empty = cls(name, "number", np.zeros(0, np.int64), _edges(finite, bins), (), importance)
            empty = replace(empty, counts=np.zeros(len(_edges(finite, bins)) + 2, np.int64))
            return replace(empty, counts=empty.count(numbers))
        texts = Counter(text for value in array.tolist() if (text := _text(value)) is not None)
        if not texts:
            raise DataError(f"the reference of {name!r} has no value that is not missing; give at least one.")
        levels = tuple(level for level, _ in texts.most_common(MOST_LEVELS))
        empty = cls(name, "category", np.zeros(len(levels) + 2, np.int64), None, levels, importance)
        return replace(empty, counts=empty.count(array))

    @classmethod
    def from_statistics(
        cls, name: str, kind: str, statistics: Mapping[str, Any], rows: int, *, importance: float = 1.0
    ) -> Profile | None:
        """Build the reference from a column's statistics in a model's schema; None where they hold no distribution."""
        missing = round(rows * float(statistics.get("missing", 0.0)))
        if kind == "boolean":
            true = round((rows - missing) * float(statistics.get("mean") or 0.0))
            counts = np.array([rows - missing - true, true, 0, missing], dtype=np.int64)
            return cls(name, "category", counts, None, ("false", "true"), importance)
        levels = tuple(statistics.get("levels") or ())
        if levels and kind != "text":
            body = [*statistics["level_counts"], int(statistics.get("other", 0)), missing]
            return cls(name, "category", np.array(body, dtype=np.int64), None, levels, importance)
        edges = [float(edge) for edge in statistics.get("edges") or ()]
        if not edges:
            return None
        inner = list(statistics.get("counts") or ()) if len(edges) > 1 else [rows - missing]
        if len(edges) == 1:
            edges.append(float(np.nextafter(edges[0], math.inf)))
        kind = kind if kind in ("datetime", "text") else "number"
        counts = np.array([0, *inner, 0, missing], dtype=np.int64)
        return cls(name, kind, counts, np.array(edges), (), importance)

    @classmethod
    def of_words(cls, column: str, statistics: Mapping[str, Any], *, importance: float = 1.0) -> Profile | None:
        """Build the reference of what a column of texts is about; None where the statistics hold no words."""
        if not statistics.get("levels"):
            return None
        known = [*statistics["level_counts"], int(statistics.get("other", 0))]
        share = float(statistics.get("missing", 0.0))
        missing = round(sum(known) * share / (1 - share))  # as words are of a sample of the rows
        counts = np.array([*known, missing], dtype=np.int64)
        return cls(f"{column} (words)", "words", counts, None, tuple(statistics["levels"]), importance, column)


def profiles_of_schema(schema: Mapping[str, Any], importances: Mapping[str, float] | None = None) -> list[Profile]:
    """Return the references of a model's used columns, from what `Schema.to_json` gives; of texts, two each.

    Raises:
        DataError: it is no schema.
    """
    weights = importances or {}
    built: list[Profile | None] = []
    try:
        for item in schema["inputs"]:
            if item.get("dropped"):
                continue
            name, kind, statistics = item["name"], item["kind"], item["statistics"]
            weight = weights.get(name, 1.0)
            built.append(Profile.from_statistics(name, kind, statistics, int(schema["rows"]), importance=weight))
            if kind == "text":
                built.append(Profile.of_words(name, statistics, importance=weight))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"this is no schema of a model, so drift cannot be measured: {error!r}.") from error
    return [profile for profile in built if profile is not None]


def _edges(ordered: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    values = np.unique(ordered)
    if len(values) <= bins:
        return np.append(values, np.nextafter(values[-1], math.inf))
    return np.unique(ordered[np.linspace(0, len(ordered) - 1, bins + 1).astype(np.int64)])


def _places(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[Any]:
    """Return how many edges are at most as large as each value."""
    if MANY <= len(values) <= MOST and len(edges) < 256:
        # Comparing whole arrays beats searching for values one by one, the branches of which nobody can predict.
        return np.asarray((values >= edges[:, None]).view(np.uint8).sum(axis=0, dtype=np.uint8))
    return np.searchsorted(edges, values, side="right")


def _text(value: Any) -> str | None:
    """Return a level's text as a model's schema has it; None for a missing value."""
    if (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and math.isnan(value))
    ):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def _numbers(kind: str, values: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    array = values if isinstance(values, np.ndarray) else None
    if kind == "number" and array is not None and array.dtype.kind in "fiub":
        return array.astype(np.float64)
    if kind == "datetime" and array is not None and array.dtype.kind == "M":
        seconds = array.astype("datetime64[us]").astype(np.int64) / 1e6
        return np.where(np.isnat(array), np.nan, seconds)
    listed = array.tolist() if array is not None else values
    if kind == "number" and (numbers := _together(listed)) is not None:
        return numbers
    read = {"text": _length, "datetime": _seconds}.get(kind, _number)
    return np.fromiter((read(value) for value in listed), np.float64, len(values))


def _together(values: Any) -> NDArray[np.float64] | None:
    """Return all at once, None as NaN; None where one is no number."""
    packed = _packed(values) if isinstance(values, list | tuple) else None
    if packed is not None:
        return packed
    try:
        numbers = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if numbers.shape == (len(values),) else None


def _packed(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return numbers in half the time of `np.array`; None where one is missing or text."""
    try:
        return np.frombuffer(struct.pack(f"{len(values)}d", *values))
    except (struct.error, OverflowError):
        return None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _length(value: Any) -> float:
    return len(value) if isinstance(value, str) else math.nan


def _seconds(value: Any) -> float:
    if isinstance(value, datetime | date):
        return float(np.datetime64(value.isoformat()[:26].removesuffix("+00:00"), "us").astype(np.int64)) / 1e6
    if isinstance(value, int | float):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return math.nan
    naive = moment.replace(tzinfo=None) - (moment.utcoffset() or (moment - moment))
    return (naive - datetime(1970, 1, 1)).total_seconds()
