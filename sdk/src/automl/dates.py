"""Instants as microseconds since 1970 in UTC, and the parts of the calendar that a model learns from.

A time without a zone is taken as it stands. What lies outside the years 1 to 9999 counts as missing: Python has no date
for it.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.scalars import is_missing

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "DAY",
    "MISSING",
    "PARTS",
    "calendar",
    "calendar_column",
    "date_micros",
    "datetime64_micros",
    "parse_date",
    "to_micros",
    "to_micros_column",
]

MISSING = int(np.iinfo(np.int64).min)  # numpy's NaT, too
DAY, HOUR = 86_400_000_000, 3_600_000_000
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
LOWEST = (1 - EPOCH_ORDINAL) * DAY
HIGHEST = (date.max.toordinal() - EPOCH_ORDINAL + 1) * DAY - 1
PER_UNIT = {"D": DAY, "s": 1_000_000, "ms": 1000, "us": 1}
ISO = re.compile(r"\s*\d{4}-\d{2}-\d{2}")
PARTS = ("year", "month", "day", "weekday", "hour", "yearday")


def to_micros(values: NDArray[np.int64], unit: str) -> NDArray[np.int64]:
    """Convert whole units ("D", "s", "ms", "us", "ns") since 1970; `MISSING` stays, and stands for out of range."""
    if unit == "ns":
        return np.where(values == MISSING, MISSING, values // 1000)
    scale = PER_UNIT[unit]
    inside = (values >= -(-LOWEST // scale)) & (values <= HIGHEST // scale)
    return np.where(inside, np.where(inside, values, 0) * scale, MISSING)


def parse_date(text: str) -> int:
    """Return the microseconds of an ISO 8601 date or time that begins YYYY-MM-DD, `MISSING` for anything else."""
    if ISO.match(text) is None:
        return MISSING
    try:
        return date_micros(datetime.fromisoformat(text.strip()))
    except ValueError:
        return MISSING


def date_micros(value: Any) -> int:
    """Return the microseconds of a date, a datetime, numpy's datetime64 or an ISO string; `MISSING` for missing.

    Raises:
        TypeError: the value is none of these.
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, str):
        return parse_date(value)
    if isinstance(value, np.datetime64):
        return datetime64_micros(np.array([value])).item()
    if not isinstance(value, date):
        raise TypeError(f"expects a date, got a value of type {type(value).__name__}: {str(value)[:40]}")
    days = (value.toordinal() - EPOCH_ORDINAL) * DAY
    if not isinstance(value, datetime):
        return days
    offset = value.utcoffset() if value.tzinfo not in (None, UTC) else None
    micros = days + ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
    if offset is not None:
        micros -= (offset.days * 86_400 + offset.seconds) * 1_000_000 + offset.microseconds
    return micros if LOWEST <= micros <= HIGHEST else MISSING


def datetime64_micros(values: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Convert numpy's dates of any unit."""
    unit = np.datetime_data(values.dtype)[0]
    if unit not in PER_UNIT and unit != "ns":
        values, unit = values.astype("M8[s]"), "s"
    return to_micros(values.astype(f"M8[{unit}]").view(np.int64), unit)


def to_micros_column(column: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """Convert Arrow's timestamps or dates."""
    import pyarrow as pa

    unit = "D" if pa.types.is_date32(column.type) else getattr(column.type, "unit", "ms")
    raw = column.cast(pa.int32() if unit == "D" else pa.int64()).cast(pa.int64()).fill_null(MISSING)
    return to_micros(raw.to_numpy(), unit)


def calendar(micros: int) -> tuple[int, int, int, int, int, int]:
    """Return `PARTS` of one instant: the weekday from 0 for Monday, the hour from 0, the day of the year from 1."""
    days, rest = divmod(micros, DAY)
    ordinal = days + EPOCH_ORDINAL
    day = date.fromordinal(ordinal)
    first = date(day.year, 1, 1).toordinal()
    return day.year, day.month, day.day, (ordinal - 1) % 7, rest // HOUR, ordinal - first + 1


def calendar_column(micros: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `PARTS` of many instants, shape (rows, parts); rows that are `MISSING` hold anything."""
    days, rest = np.divmod(np.where(micros == MISSING, 0, micros), DAY)
    dates = days.astype("M8[D]")
    years, months = dates.astype("M8[Y]"), dates.astype("M8[M]")
    parts = (
        years.astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (dates - months).astype(np.int64) + 1,
        (days + 3) % 7,
        rest // HOUR,
        (dates - years).astype(np.int64) + 1,
    )
    return np.stack(parts, axis=1)
