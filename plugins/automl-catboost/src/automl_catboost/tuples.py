"""Which combinations of categories stand behind the hashes in a CatBoost model.

A model keeps statistics by the hash of a combination alone; the rows that it learned from say which one it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_catboost.hashing import MISSING, combine, hash_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Column

__all__ = ["Rows", "Sources", "Tuples", "read_sources"]

_ABSENT, _MULTIPLIER = np.uint64(0xFFFFFFFF), np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What a combination is made of, as `automl_core.Lookup` has it: `source`, `threshold`, `equal`.

    `inverted`: bool (k,), digits that say no where CatBoost's say yes: "is missing" is asked as "is above -1".
    """

    source: NDArray[np.int32]
    threshold: NDArray[np.float32]
    equal: NDArray[np.bool_]
    inverted: NDArray[np.bool_]


def read_sources(info: Mapping[str, Any], elements: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Sources:
    """Read one entry's `elements`; they stand in the order in which CatBoost hashes them."""
    numbers = [feature["flat_feature_index"] for feature in info.get("float_features", ())]
    categories = [feature["flat_feature_index"] for feature in info.get("categorical_features", ())]
    rows: list[tuple[int, float, bool, bool]] = []
    for element in elements:
        kind = element["combination_element"]
        if kind == "cat_feature_value":
            rows.append((categories[element["cat_feature_index"]], np.nan, False, False))
        elif kind == "float_feature":
            rows.append((numbers[element["float_feature_index"]], element["border"], False, False))
        elif kind == "cat_feature_exact_value":
            column = categories[element["cat_feature_index"]]
            code = find_code(element["value"], columns[column].categories)
            rows.append((column, float(code), code != MISSING, code == MISSING))
        else:
            raise ValueError(f"a statistic of the model is made of an unknown {kind!r}")
    source, threshold, equal, inverted = zip(*rows, strict=True)
    return Sources(
        np.array(source, dtype=np.int32),
        np.array(threshold, dtype=np.float32),
        np.array(equal, dtype=np.bool_),
        np.array(inverted, dtype=np.bool_),
    )


def find_code(hashed: int, categories: int) -> int:
    """Return the code whose name has this hash; MISSING for a missing category.

    Raises:
        ValueError: no category of the column has.
    """
    found = np.flatnonzero(_hashes(categories).view(np.int64) == hashed)
    if len(found) != 1:
        raise ValueError(f"{len(found)} of {categories} categories have the hash {hashed}")
    return int(found[0]) + MISSING


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Some rows of an encoded table, not copied until asked for."""

    values: NDArray[np.float32]
    numbers: NDArray[np.int64]
    columns: tuple[Column, ...]

    def codes(self, column: int) -> NDArray[np.int64]:
        """Return codes (rows,), MISSING where missing or out of the column's range."""
        values = self.values[self.numbers, column]
        known = (values >= 0) & (values < self.columns[column].categories)
        return np.where(known, values, MISSING).astype(np.int64)


class Tuples:
    """Finds for the hashes of a combination the keys of `automl_core.Lookup`; keeps what it found.

    Picklable without the rows, and then knows only what was asked before.
    """

    def __init__(self, rows: Rows | None) -> None:
        self._rows = rows
        self._found: dict[str, tuple[NDArray[np.uint64], NDArray[np.uint64]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": None, "_found": self._found}

    @property
    def alive(self) -> bool:
        """Whether the rows are still there, so that anything can be asked."""
        return self._rows is not None

    def keys(self, name: str, sources: Sources, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return the key for each hash.

        Args:
            name: identifies the combination. hashes: uint64 (n,), distinct.

        Raises:
            ValueError: no row has a hash, or the rows are gone.
        """
        if name not in self._found:
            if self._rows is None:
                raise ValueError(f"the rows that could tell the combinations of {name} apart are gone")
            ordered = np.sort(hashes)
            self._found[name] = ordered, _search(self._rows, sources, ordered)
        ordered, keys = self._found[name]
        place = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
        if not np.array_equal(ordered[place], hashes):
            raise ValueError(f"combinations of {name} have hashes that none of the rows have")
        return keys[place]


def _search(rows: Rows, sources: Sources, wanted: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the key of each wanted hash, which are sorted, from one row that has it."""
    hashed = np.zeros(len(rows.numbers), dtype=np.uint64)
    digits = []
    for part in range(len(sources.source)):
        digit, answer = _digits(rows, sources, part)
        hashed = combine(hashed, answer)
        digits.append(digit)
    place = np.minimum(np.searchsorted(wanted, hashed), len(wanted) - 1)
    example = np.full(len(wanted), -1, dtype=np.int64)
    seen = np.flatnonzero(wanted[place] == hashed)
    example[place[seen]] = seen
    if (example < 0).any():
        raise ValueError(f"{(example < 0).sum()} of {len(wanted)} combinations are in no row that was learned from")
    key = np.zeros(len(wanted), dtype=np.uint64)
    for digit in digits:
        key = (key ^ (digit[example] + np.uint64(1))) * _MULTIPLIER
        key ^= key >> np.uint64(32)
    return key


def _digits(rows: Rows, sources: Sources, part: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the digits (rows,) of one part of a combination, for a Lookup and as CatBoost hashes them."""
    column, threshold = int(sources.source[part]), sources.threshold[part]
    if np.isnan(threshold):
        codes = rows.codes(column)
        digit = np.where(codes == MISSING, _ABSENT, codes.astype(np.uint64))
        return digit, _hashes(rows.columns[column].categories)[codes - MISSING]
    if sources.equal[part] or sources.inverted[part]:
        yes = rows.codes(column) == (MISSING if sources.inverted[part] else threshold)
        return (yes ^ sources.inverted[part]).astype(np.uint64), yes.astype(np.uint64)
    digit = (rows.values[rows.numbers, column] > threshold).astype(np.uint64)
    return digit, digit


@lru_cache(maxsize=256)
def _hashes(categories: int) -> NDArray[np.uint64]:
    return hash_codes(np.arange(MISSING, categories, dtype=np.int64))
