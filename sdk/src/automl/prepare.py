"""From what people hand in to what a study takes, and from what it found to a model."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.encoder import Encoder
from automl.metrics import pinball_level, resolve_metric
from automl.model import Model, in_batches
from automl.predictor import Predictor
from automl.report.evidence import Evidence, mark_rows, sample_rows
from automl.schema import Schema, describe
from automl.study.calibration import apply_temperature
from automl.table import open_table, with_target
from automl.target import TargetCoder, code_target
from automl_core import MULTICLASS, Column, Data, DataError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from automl.study.problem import Outcome

__all__ = ["Prepared", "prepare", "to_model", "with_unlabelled"]

MIN_ROWS = 2
ORDERED = {
    "groups": "which group they are of is not known, so that those of a judging group could be learned from",
    "time": "when they are from is not known, so that later ones than those that judge could be learned from",
}
log = logging.getLogger("automl")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An encoded table, and how it was encoded.

    Attributes:
        groups: int64 (rows,) or None. time: anything sortable (rows,) or None.
        table: the rows that are learned from, without the target.
        unlabelled: float32 (rows, columns), more rows, encoded as `data` is.
        curve: how many rows of a larger table the search needs, see `automl.large.curve`; empty where nobody asked.
    """

    data: Data
    schema: Schema
    encoder: Encoder
    coder: TargetCoder
    groups: NDArray[np.int64] | None
    time: NDArray[Any] | None
    table: pa.Table
    curve: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: NDArray[np.float32] | None = None


def prepare(
    data: Any,
    y: Any,
    *,
    target: str | None,
    task: str | None,
    given: Mapping[str, Any],
    seed: int,
    levels: Mapping[str, Mapping[str, int]] | None = None,
    rows: int = 0,
    monotone: Mapping[str, int] | None = None,
) -> Prepared:
    """Open, describe and encode a table.

    Args:
        given: "sample_weight", "groups" and "time", each None, a column's name, or of shape (rows,).
        monotone: 1 or -1 by the names of columns, see `automl_core.Column`.
        levels, rows: where the table is a sample: how often each level of a category occurs in all of so many rows.

    Raises:
        DataError: the table cannot be learned from.
    """
    if y is None:
        table = open_table(data)
    else:
        table, target = with_target(data, y, name=target)
    table, beside = _take_beside(table, given)
    if (counting := _counting(beside.get("sample_weight"))) is not None:
        table = table.filter(counting)
        beside = {name: column[counting] for name, column in beside.items()}
    coder, codes, kept = code_target(table, target, task=task)
    if kept is not None:
        table = table.filter(kept)
        beside = {name: column[kept] for name, column in beside.items()}
    if table.num_rows < MIN_ROWS:
        raise DataError(f"the table has {table.num_rows} sample with a target; learning needs at least {MIN_ROWS}.")
    table = table.drop_columns([coder.name])
    schema = describe(table)
    encoder = Encoder.fit(table, schema, seed=seed)
    if levels:
        encoder = encoder.with_levels(levels, rows)
    values = encoder.encode(table)
    columns = _constrain(encoder, monotone, coder.task) if monotone else encoder.columns
    signs = np.array([column.monotone for column in columns], dtype=np.int8) if monotone else None
    weight, groups = beside.get("sample_weight"), beside.get("groups")
    return Prepared(
        data=Data(values, columns, codes, _check_weight(weight), fingerprint(values, codes, weight, signs)),
        schema=schema,
        encoder=encoder,
        coder=coder,
        groups=None if groups is None else _code_groups(groups),
        time=None if (time := beside.get("time")) is None else _check_time(time),
        table=table,
    )


def with_unlabelled(prepared: Prepared, more: Any, *, given: Mapping[str, Any], metric: Any) -> Prepared:
    """Return the table with more rows, whose target is not known; one that they have is ignored, with a warning.

    Args:
        more: anything that `open_table` takes. given: as for `prepare`. metric: as for `AutoML`.

    Raises:
        DataError: they have no row, or lack a column that is learned from; or groups, a time or a quantile as the metric
            leave no way to learn from them.
    """
    for name, why in ORDERED.items():
        if given.get(name) is not None:
            raise DataError(f"unlabelled rows cannot be used with {name}: {why}.")
    if pinball_level(name := resolve_metric(metric, prepared.coder.task).name) is not None:
        raise DataError(f"unlabelled rows cannot be used with {name}: a quantile is no value to learn from.")
    if in_batches(more) is not None:
        raise DataError("the unlabelled rows do not fit in memory, which is not supported: give a sample of them.")
    try:
        table = open_table(more)
        values = prepared.encoder.encode(table)
    except DataError as error:
        raise DataError(f"unlabelled: {error}") from error
    if prepared.coder.name in table.column_names:
        log.warning("the unlabelled rows have the column %r, the target: it is ignored", prepared.coder.name)
    return replace(prepared, unlabelled=values)


def _constrain(encoder: Encoder, monotone: Mapping[str, int], task: str) -> tuple[Column, ...]:
    if task == MULTICLASS:
        raise DataError("monotone columns need a number or two classes to predict: more have no order.")
    places = {encoder.names[source]: place for place, source in enumerate(encoder.source)}
    columns = list(encoder.columns)
    for name, sign in monotone.items():
        if sign not in (-1, 1):
            raise DataError(f"monotone[{name!r}] is {sign!r}; it must be 1 or -1.")
        if name not in places:
            raise DataError(f"monotone: no column {name!r} is learned from.{did_you_mean(str(name), list(places))}")
        if encoder.source.tolist().count(encoder.source[places[name]]) > 1 or columns[places[name]].categorical:
            raise DataError(f"monotone: the column {name!r} holds no numbers, so that it has no order.")
        columns[places[name]] = replace(columns[places[name]], monotone=int(sign))
    return tuple(columns)


def _take_beside(table: pa.Table, given: Mapping[str, Any]) -> tuple[pa.Table, dict[str, NDArray[Any]]]:
    """Return the columns that say how to learn, and the table without them."""
    beside: dict[str, NDArray[Any]] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            if value not in table.column_names:
                raise DataError(f"{name}: the table has no column {value!r}.{did_you_mean(value, table.column_names)}")
            beside[name] = table[value].to_numpy()
            table = table.drop_columns([value])
        else:
            beside[name] = np.asarray(value).ravel()
        if len(beside[name]) != table.num_rows:
            raise DataError(f"{name} has {len(beside[name])} values for {table.num_rows} rows.")
    return table, beside


def _check_weight(weight: NDArray[Any] | None) -> NDArray[np.float64] | None:
    if weight is None:
        return None
    numbers = np.asarray(weight, dtype=np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any():
        raise DataError("sample_weight must be finite and not negative.")
    return numbers


def _counting(weight: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """Return which rows count at all, where some do not: those of weight zero would be folds that judge nothing."""
    if weight is None:
        return None
    try:
        counting = np.asarray(weight, dtype=np.float64) != 0
    except (TypeError, ValueError):
        raise DataError("sample_weight must be numbers.") from None
    if not counting.any():
        raise DataError("sample_weight is zero in every row.")
    return None if counting.all() else counting


def _code_groups(groups: NDArray[Any]) -> NDArray[np.int64]:
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"groups: all rows are of one group, {str(names[0])!r}, so that no others could judge what they teach."
        )
    return codes.astype(np.int64)


def _check_time(time: NDArray[Any]) -> NDArray[Any]:
    import pyarrow as pa

    try:
        missing = pa.array(time, from_pandas=True).null_count
    except pa.ArrowException:
        missing = 0  # periods, for instance, which Arrow does not know, and numpy can sort
    if missing:
        raise DataError(f"time: {missing} rows have none, and nothing else tells which rows are later.")
    try:
        if time.dtype == object:  # anything else has an order
            np.sort(time)
    except TypeError as error:
        raise DataError(f"time: its values cannot be put in an order: {error}.") from None
    return time


def fingerprint(*arrays: NDArray[Any] | None) -> str:
    """Return 16 hexadecimal digits that identify what arrays hold."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        if array is not None:
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def to_model(prepared: Prepared, outcome: Outcome) -> Model:
    """Return what a study found as a model that needs nothing of it."""
    shipment, study, coder = outcome.shipment, outcome.study, prepared.coder
    predictor = Predictor(
        shipment.parts,
        shipment.opaque,
        classes=len(coder.classes),
        temperature=shipment.temperature,
        columns=len(prepared.encoder.columns),
    )
    notes = [f"column {item.name!r}: {note}" for item in prepared.schema.inputs for note in item.notes]
    dropped = [f"column {i.name!r} is not used: {i.dropped}" for i in prepared.schema.inputs if i.dropped]
    return Model(
        prepared.encoder,
        predictor,
        task=coder.task,
        schema=prepared.schema,
        classes=coder.classes,
        target=coder.name,
        metric=study.metric,
        threshold=shipment.threshold,
        leaderboard=outcome.leaderboard.rows,
        info={
            "study": study.id,
            "rows": study.rows,
            "folds": outcome.plan.folds,
            "scores": outcome.scores,
            "seconds": round(outcome.seconds, 3),
            "curves": shipment.curves,
            "warnings": [*coder.notes, *outcome.warnings],
            "notes": [*dropped, *notes],
            **({"sample_curve": dict(prepared.curve)} if prepared.curve else {}),
            **({"unlabelled": dict(outcome.unlabelled)} if outcome.unlabelled else {}),
        },
        evidence=_evidence(prepared, outcome),
    )


def _evidence(prepared: Prepared, outcome: Outcome) -> Evidence | None:
    """Return a sample of what the ensemble says out of fold; None where nothing was fitted."""
    shipment, classes = outcome.shipment, len(prepared.coder.classes)
    if shipment.ensemble is None:
        return None
    chosen = sample_rows(len(shipment.rows), classes=classes, seed=outcome.study.seed)
    rows, said = shipment.rows[chosen].astype(np.int64), shipment.prediction[chosen]
    if classes and shipment.temperature != 1.0:
        said = apply_temperature(said, shipment.temperature)
    values, target = prepared.data.values[rows], prepared.data.target[rows].astype(np.float64)
    return Evidence(rows, target, said.astype(np.float32), mark_rows(values, target))
