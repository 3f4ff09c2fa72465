"""The rows of a small data frame: column by column through Arrow they take up to ten times as long."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

__all__ = ["few_rows"]

FEW = 16  # rows; many are quicker column by column
# What means the same by itself and in a column of its kind; pandas' own are known by name so that it need not be imported.
ALIKE = frozenset({float, int, str, bool, date, datetime, type(None)})
ALIKE_PANDAS = frozenset({"Timestamp", "NaTType", "NAType"})


def few_rows(data: Any) -> list[dict[str, Any]] | None:
    """Return the rows of a pandas or polars data frame; None where it is something else, or better read as a table."""
    home = type(data).__module__.partition(".")[0]
    if home not in ("pandas", "polars") or type(data).__name__ != "DataFrame" or not 0 < len(data) <= FEW:
        return None
    names = dict.fromkeys(map(str, data.columns))
    values = data.to_numpy(dtype=object).tolist() if home == "pandas" else data.rows()
    if len(names) < len(data.columns) or not all(map(_alike, {type(value) for row in values for value in row})):
        return None
    return [dict(zip(names, row, strict=True)) for row in values]


def _alike(kind: type) -> bool:
    return kind in ALIKE or (kind.__name__ in ALIKE_PANDAS and kind.__module__.startswith("pandas"))
