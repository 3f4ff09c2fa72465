"""Two tables compared at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_core import DataError, SettingsError
from automl_drift.profile import Profile, profiles_of_schema
from automl_drift.watch import Report, Watch

__all__ = ["compare"]


def compare(
    schema: Mapping[str, Any],
    columns: Mapping[str, Sequence[Any]],
    *,
    importances: Mapping[str, float] | None = None,
    level: float = 0.01,
    tolerance: float = 0.04,
) -> Report:
    """Compare a table with the one that a schema describes.

    Args:
        schema: what `Schema.to_json` gives.
        columns: the values of the later table, all of one length; a column that is not there counts as missing.
        level: the chance of calling any drift in a table like the first one, for all columns together.

    Raises:
        DataError: it is no schema, nothing in it can be compared, or lengths differ.
        SettingsError: level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise SettingsError(f"level is {level}; give a chance between 0 and 1.")
    profiles: list[Profile] = profiles_of_schema(schema, importances)
    rows = max((len(values) for values in columns.values()), default=0)
    if not rows or any(len(values) != rows for values in columns.values()):
        raise DataError("the later table needs at least one row, and columns of one length.")
    length = max(int(rows / level), rows)
    watch = Watch(profiles, run_length=length, block=rows, window=rows, tolerance=tolerance, minimum=30)
    watch.add(watch.count(columns, rows), rows)
    return watch.report()
