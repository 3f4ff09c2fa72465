"""The rows of a run: labelled traffic in the order of time, and rows of earlier times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Rows", "split_rows"]

MOST_OLD = 5_000  # rows of earlier times that are kept out of fits


@dataclass(frozen=True, slots=True)
class Rows:
    """What challengers learn from and are judged on.

    Attributes:
        recent: labelled traffic with the target, but for the latest rows. both: those and rows of earlier times; None
            where there are none.
        holdout, truths: the latest rows: inputs, and a label per row.
        old, old_truths: rows of earlier times that no challenger learns from; the champion may have.
    """

    recent: pa.Table
    both: pa.Table | None
    holdout: pa.Table
    truths: list[Any]
    old: pa.Table | None
    old_truths: list[Any]


def split_rows(labelled: pa.Table, data: str, *, target: str, holdout: float, seed: int = 0) -> Rows:
    """Split labelled traffic, oldest first, by time, and rows of earlier times at random.

    Raises:
        DataError: there are too few rows, or `data` lacks a column.
    """
    import pyarrow as pa

    from automl.table import open_table

    kept = int(labelled.num_rows * holdout)
    if min(kept, labelled.num_rows - kept) < 1:
        raise DataError(f"{labelled.num_rows} labelled rows are too few for a fit and a comparison.")
    recent, latest = labelled.slice(0, labelled.num_rows - kept), labelled.slice(labelled.num_rows - kept)
    judged = latest.drop_columns(target), latest[target].to_pylist()
    if not data:
        return Rows(recent, None, *judged, None, [])
    earlier = open_table(data)
    missing = [name for name in labelled.column_names if name not in earlier.column_names]
    if missing:
        raise DataError(f"{data} has no column {missing[0]!r}, which the model in production knows.")
    earlier = earlier.select(labelled.column_names)
    earlier = earlier.filter(earlier[target].is_valid())
    order = np.random.default_rng(seed).permutation(earlier.num_rows)
    apart = min(MOST_OLD, earlier.num_rows // 5)
    old, learned = earlier.take(np.sort(order[:apart])), earlier.take(np.sort(order[apart:]))
    like = pa.table({field.name: _cast(recent[field.name], field.type) for field in earlier.schema})
    both = pa.concat_tables([learned, like])
    return Rows(recent, both, *judged, old.drop_columns(target), old[target].to_pylist())


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column in the type that earlier rows have; what cannot be read becomes missing."""
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        return column.cast(plain, safe=False).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.chunked_array([pa.array([_read(value, plain) for value in column.to_pylist()], plain).cast(kind)])


def _read(value: Any, kind: pa.DataType) -> Any:
    import pyarrow as pa

    try:
        return pa.scalar(value).cast(kind, safe=False).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
