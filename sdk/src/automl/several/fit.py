"""One study for each of several targets of a table, within one time limit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automl.model import in_batches
from automl.origin import describe_origin
from automl.several.file import MOST
from automl.several.model import MultiModel, open_once
from automl_core import DataError, SettingsError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

    from automl.engine import AutoML
    from automl.model import Model
    from automl.study.clock import Clock

__all__ = ["ask_several", "fit_several", "score_several"]

LEAST = 0.001  # seconds for a target whose share of the time others have used up: it still gets an answer
BY_TARGET = ("metric", "task")  # arguments that may differ from one target to the next
log = logging.getLogger("automl")


def ask_several(y: Any, target: str | Sequence[str] | None) -> list[str] | None:
    """Return the names of the targets where several are asked for, by a list or by a `y` of several columns; else None.

    Raises:
        DataError: a name appears twice, there is none, or they are not as many as the columns of `y`.
    """
    shape: tuple[int, ...] = getattr(y, "shape", ())
    wide = shape[1] if len(shape) == 2 and shape[1] > 1 else 0
    if isinstance(target, str) or (target is None and not wide):
        return None
    if target is None:
        names = getattr(y, "columns", None)
        target = [f"target{place}" for place in range(wide)] if names is None else [str(name) for name in names]
    found = list(target)
    if not found or not all(isinstance(name, str) for name in found):
        raise DataError(f"target is {found!r}; name at least one column to predict.")
    if len(set(found)) < len(found):
        raise DataError(f"a target is named twice: {', '.join(map(repr, found))}.")
    if len(found) > MOST:
        raise DataError(f"{len(found)} targets are more than {MOST}: fit some of them at a time.")
    if y is not None and wide != len(found):
        raise DataError(f"{len(found)} targets are named, and y has {wide or 1} column{'s' * (wide > 1)}.")
    return found


def fit_several(
    engine: AutoML,
    data: Any,
    y: Any,
    names: Sequence[str],
    *,
    given: Mapping[str, Any],
    warm_start: Any,
    clock: Clock,
) -> dict[str, AutoML]:
    """Return a fitted engine for each target. Time is shared evenly; what one target leaves goes to the next.

    Each target is learned from the rows that have it, and from no other target. After an interrupt the targets that are
    fitted by then are returned.

    Args:
        given: "sample_weight", "groups", "time" and "unlabelled", as `AutoML.fit` takes them. clock: of all targets together.

    Raises:
        DataError, SettingsError: a target cannot be learned, or an argument is wrong; said before any fit.
    """
    for word in BY_TARGET:
        _check_names(word, getattr(engine, word), names)
    table = _open(engine, data, y, names)
    _check_targets(engine, table, names)
    earlier = getattr(warm_start, "model_", warm_start)
    fitted: dict[str, AutoML] = {}
    for place, name in enumerate(names):
        share = None if clock.limit is None else max((clock.limit - clock.elapsed) / (len(names) - place), LEAST)
        one = engine.like(time_limit=share, **{word: _of(getattr(engine, word), name) for word in BY_TARGET})
        rows = table.drop_columns([other for other in names if other != name])
        start = earlier.models.get(name) if isinstance(earlier, MultiModel) else earlier
        one.fit(rows, target=name, warm_start=start, **given)
        _describe(one.model_, engine, one, data, names)
        fitted[name] = one
        if one.outcome_.interrupted and len(fitted) < len(names):
            log.warning("interrupted: there is no model of %s", ", ".join(map(repr, names[place + 1 :])))
            break
    return fitted


def score_several(engines: Mapping[str, AutoML], data: Any, y: Any) -> dict[str, float]:
    """Return the score of each target on rows that hold all targets, or whose `y` of shape (rows, targets) does."""
    rows, names = open_once(data), list(engines)
    truths = [None] * len(names) if y is None else _columns_of(y, names)
    return {name: engines[name].score(rows, truth) for name, truth in zip(names, truths, strict=True)}


def _columns_of(y: Any, names: Sequence[str]) -> list[Any]:
    """Return a `y` of shape (rows, targets) as columns of an Arrow table, in its order."""
    from automl.table import open_table

    table = open_table(y)
    if table.num_columns != len(names):
        raise DataError(f"y has {table.num_columns} columns for {len(names)} targets.")
    return list(table.columns)


def _open(engine: AutoML, data: Any, y: Any, names: Sequence[str]) -> pa.Table:
    from automl.table import open_table

    opened = engine.opened(data)
    if in_batches(opened) is not None:
        raise DataError("several targets need the table in memory, and this one is too large: fit them one by one.")
    table = open_table(opened)
    if y is not None:
        for name, column in zip(names, _columns_of(y, names), strict=True):
            if name in table.column_names:
                raise DataError(
                    f"the table has a column {name!r} already: leave y out, or give the target another name."
                )
            if len(column) != table.num_rows:
                raise DataError(f"y has {len(column)} values for {table.num_rows} rows.")
            table = table.append_column(name, column)
    return table


def _check_targets(engine: AutoML, table: pa.Table, names: Sequence[str]) -> None:
    """Raise what is wrong with a target now, not after the time that those before it take."""
    from automl.metrics import resolve_metric
    from automl.target import code_target

    for name in names:
        coder, _, _ = code_target(table, name, task=_of(engine.task, name))
        resolve_metric(_of(engine.metric, name), coder.task)


def _check_names(word: str, value: Any, names: Sequence[str]) -> None:
    for name in value if isinstance(value, Mapping) else ():
        if name not in names:
            raise SettingsError(f"{word} names {name!r}, which is no target.{did_you_mean(str(name), names)}")


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else value


def _describe(model: Model, engine: AutoML, one: AutoML, data: Any, names: Sequence[str]) -> None:
    """Let the model tell how all targets were asked for, not how its own part was."""
    whole = {word: getattr(engine, word) for word in (*BY_TARGET, "time_limit")}
    told = describe_origin(data, whole, one.host(), key="", weighted=False)
    origin = model.info["origin"]
    kept = {word: value for word, value in origin["arguments"].items() if word not in whole}
    model.info["origin"] = {**origin, "data": told["data"], "arguments": {**told["arguments"], **kept}}
    model.info["targets"] = list(names)
