"""What a single value of a table means: missing, a number, a truth, or the text of a level.

A row as a dict and a table of columns are encoded alike because both come down to these functions.
"""

from __future__ import annotations

import math
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from typing import Any

import numpy as np

__all__ = ["FLOAT32_MAX", "MISSING_WORDS", "NestedValue", "as_number", "as_text", "as_truth", "is_missing"]

FLOAT32_MAX = float(np.finfo(np.float32).max)
MISSING_WORDS = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "none"})
NAN = math.nan
WHOLE = 1e15  # up to here a whole float is written without its ".0"
# pandas' own missing values, known by name so that pandas need not be imported.
MISSING_TYPES = frozenset({"NAType", "NaTType"})
TRUTHS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


class NestedValue(TypeError):
    """A list, dict or array stands where one value belongs."""


def is_missing(value: Any) -> bool:
    """Tell whether a value is None, NaN, NaT or pandas' NA."""
    if value is None or type(value).__name__ in MISSING_TYPES:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def as_number(value: Any) -> float:
    """Return a number within float32's range, NaN for missing and infinite values.

    A string is read as a plain float; a word for missing ("", "NA", "?", ...) is NaN. A duration or a time of day is its
    seconds.

    Raises:
        ValueError: the string is no number.
        TypeError: the value is of a type that has no number.
    """
    if is_missing(value):
        return NAN
    if isinstance(value, str):
        return _clip(_parse(value))
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "us")) / 1e6
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, time):
        return value.hour * 3600.0 + value.minute * 60.0 + value.second + value.microsecond / 1e6
    if isinstance(value, bool | int | float | Decimal | Fraction | np.bool_ | np.integer | np.floating):
        try:
            return _clip(float(value))
        except OverflowError:
            return NAN  # an integer beyond float64 is as good as infinite
    raise TypeError(f"expects a number, got {_describe(value)}")


def as_truth(value: Any) -> float:
    """Return 1.0 or 0.0, NaN for missing; reads "true", "false", "yes" and "no" in any case, and numbers.

    Raises:
        ValueError: the string is no truth value.
        TypeError: the value is of a type that has none.
    """
    if isinstance(value, str) and (known := TRUTHS.get(value.strip().lower())) is not None:
        return known
    return as_number(value)


def as_text(value: Any) -> str:
    """Return the text of a level: a whole number without decimals, "True" and "False", ISO dates.

    Raises:
        NestedValue: the value is a list, dict or array.
    """
    if isinstance(value, str):
        # Lone surrogates cannot be written as UTF-8; tables hold "?" in their place.
        return str(value) if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating | Decimal):
        number = float(value)
        return str(int(number)) if abs(number) < WHOLE and number.is_integer() else repr(number)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise NestedValue(f"expects one value, got {_describe(value)}")
    return str(value)


def _parse(text: str) -> float:
    word = text.strip()
    if word.lower() in MISSING_WORDS:
        return NAN
    try:
        if "_" not in word:  # Python's literal 1_000 is no number in data
            return float(word)
    except ValueError as error:
        raise ValueError(f"expects a number, got {_describe(text)}") from error
    raise ValueError(f"expects a number, got {_describe(text)}")


def _clip(number: float) -> float:
    if math.isinf(number):
        return NAN
    return min(max(number, -FLOAT32_MAX), FLOAT32_MAX)


def _describe(value: Any) -> str:
    text = repr(value)
    short = text if len(text) <= 40 else f"{text[:37]}..."
    kind = type(value).__name__
    return f"the {kind} {short}" if isinstance(value, Number | str) else f"a value of type {kind}: {short}"
