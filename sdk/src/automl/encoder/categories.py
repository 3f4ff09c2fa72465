"""Categories: one column of codes in falling order of frequency."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from automl.encoder.part import Arrays, Single, State
from automl.scalars import as_text, is_missing
from automl.schema import CATEGORY
from automl_core import Column, DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CategoryPart"]

MAX_LEVELS = 10_000
FEW_ROWS = 100  # below, a level that occurs once is kept


class CategoryPart(Single):
    """A level's code, by its text: 3 and "3" are one level.

    Levels that occur once, and those beyond the most frequent 10,000, share the last code; so does, where there is such a
    code, a level that training never saw. Where there is none, an unseen level is missing.
    """

    kind = CATEGORY

    def __init__(self, name: str, levels: Sequence[str], *, rare: bool) -> None:
        if not levels and not rare:
            raise DataError(f"the category {name!r} has no levels.")
        self.name, self.levels, self.rare = name, tuple(levels), rare
        self.columns = (Column(name, categories=len(self.levels) + rare),)
        codes = _Codes((level, float(code)) for code, level in enumerate(self.levels))
        codes.unseen = float(len(self.levels)) if rare else math.nan
        codes[None] = math.nan
        codes.setdefault("", math.nan)
        self.codes: dict[Any, float] = codes
        self.convert = codes.__getitem__

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray) -> Self:
        from automl.inputs import count_levels

        counted: Counter[str] = Counter()
        found = count_levels(column)
        for value, count in zip(found.values, found.counts.tolist(), strict=True):
            if not is_missing(value):
                counted[as_text(value)] += count
        return cls.of_counts(name, counted, found.rows)

    @classmethod
    def of_counts(cls, name: str, counted: Mapping[str, int], rows: int) -> Self:
        """Return the part for levels that occur so often in so many rows."""
        ordered = sorted(counted, key=lambda level: (-counted[level], level))
        least = 1 if rows < FEW_ROWS else 2
        kept = [level for level in ordered[:MAX_LEVELS] if counted[level] >= least]
        return cls(name, kept, rare=len(kept) < len(ordered))

    def state(self) -> tuple[State, Arrays]:
        return {"levels": list(self.levels), "rare": self.rare}, {}

    @classmethod
    def from_state(cls, state: State, arrays: Arrays) -> Self:
        levels = state["levels"]
        if not isinstance(levels, list) or not all(isinstance(level, str) for level in levels):
            raise TypeError("levels must be strings")
        if len(set(levels)) < len(levels):
            raise ValueError("a level appears twice")
        return cls(state["name"], levels, rare=bool(state["rare"]))


class _Codes(dict[Any, float]):
    """Codes by level; `__missing__` runs only for what is not a known string."""

    unseen: float

    def __missing__(self, value: Any) -> float:
        if is_missing(value):
            return math.nan
        text = as_text(value)
        if not isinstance(value, str):
            # Training may have had "1.0" or "true" where this row has 1.0 or True.
            text = next((t for t in (text, str(value), text.lower()) if t in self), text)
        return self.get(text, self.unseen)
