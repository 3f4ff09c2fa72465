"""A small, fast student of a fitted model: a study of what its teacher says, instead of what was observed.

Hinton, Vinyals and Dean (2015) for the soft targets; Bucila, Caruana and Niculescu-Mizil (2006) for rows that are made of
others, which only the teacher can label; neighbours as partners, as they have it, were no better than any row (measured). A
class's share of a row's target becomes a row with that share as its weight, so that any learner of weighted rows can be
a student.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import pinball_level
from automl.prepare import fingerprint
from automl.report.evidence import mark_rows
from automl.study.calibration import apply_temperature
from automl.table import open_table, with_target
from automl.target import TargetCoder
from automl_core import DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from automl.engine import AutoML
    from automl.model import Model

__all__ = ["compare", "distill"]

TRUTH = 0.6  # how much of a labelled row's target is what was observed, the rest being what the teacher says
LEAST = 0.01  # the probability below which a class is left out of a row's target
MIXED = 2  # mixed rows for each row that is given
MOST = 20_000  # given rows that take part in these
SWAP = 0.3  # the probability with which such a row takes a column from the other one


def distill(
    teacher: AutoML | Model,
    data: Any,
    y: Any = None,
    *,
    unlabelled: Any = None,
    holdout: Any = None,
    predict_time_limit: float = 20.0,
    quality: str = "fast",
    **arguments: Any,
) -> AutoML:
    """Return a fitted engine whose model imitates `teacher`; see `Model.distill`."""
    from automl.engine import AutoML
    from automl.several.model import MultiModel

    began = time.monotonic()
    model: Any = teacher._fitted if isinstance(teacher, AutoML) else teacher
    if isinstance(model, MultiModel):
        raise DataError("a student has one teacher: distill the model of each target, .models[target].")
    if pinball_level(model.metric) is not None:
        raise DataError(f"the model predicts a quantile ({model.metric}): fit a fast one with quality='fast' instead.")
    if given := sorted({"metric", "task"} & set(arguments)):
        raise SettingsError(f"{given[0]}: a student has none of its own, it learns to say what its teacher says.")
    asked = model.info.get("origin", {}).get("arguments", {})  # what was promised of the teacher holds on
    student = AutoML(
        task=model.task,
        metric="log_loss" if len(model.classes_) else "rmse",
        predict_time_limit=predict_time_limit,
        quality=quality,
        **{"monotone": asked.get("monotone"), **arguments},
    )
    table = student.opened(data)
    table = open_table(table) if y is None else with_target(table, y, name=model.target)[0]
    extra = None if unlabelled is None else open_table(student.opened(unlabelled))
    rows, said, source = _lessons(teacher, model, table, extra, arguments.get("seed", 0))
    rows, target, weight, source = _spread(model, rows, said, source)
    student.spent = time.monotonic() - began
    student.fit(rows, target, target=model.target, sample_weight=weight, groups=source)
    made: Model = student.model_
    made.threshold = model.threshold
    # Its rows' targets come from models that have seen the rows that judge it: that is no evidence of how good it is.
    made.evidence = None
    made.info["warnings"] = list(model.info.get("warnings", ()))
    made.info["distilled"] = compare(
        model, made, rows, None if holdout is None else open_table(student.opened(holdout))
    )
    return student


# ---- what the teacher says


def _lessons(
    teacher: Any, model: Model, table: pa.Table, unlabelled: pa.Table | None, seed: int
) -> tuple[pa.Table, NDArray[np.float64], NDArray[np.int64]]:
    """Return rows, what is to be said of them, and which of them belong together, int64 (rows,)."""
    import pyarrow as pa

    if model.target not in table.column_names:
        raise DataError(f"the data has no column {model.target!r}: rows without it go into `unlabelled`.")
    truth = TargetCoder(model.target, model.task, tuple(model.classes_.tolist())).encode(table[model.target])
    known = np.isfinite(truth)
    if not known.any():
        raise DataError(f"no row has a value of {model.target!r}: rows without it go into `unlabelled`.")
    rows, truth = _inputs(model, table.filter(known)), truth[known]
    observed = np.eye(len(model.classes_))[truth.astype(np.int64)] if len(model.classes_) else truth
    parts = [rows]
    said = [(1 - TRUTH) * _out_of_fold(teacher, model, rows, truth) + TRUTH * observed]
    source = [np.arange(rows.num_rows)]
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows.num_rows)[:MOST]
    source.append(np.tile(chosen, MIXED))
    parts.append(_mix(rows.take(pa.array(chosen)), rng))
    said.append(_say(model, parts[1]))
    if unlabelled is not None:
        parts.append(_inputs(model, unlabelled))
        said.append(_say(model, parts[-1]))
        source.append(rows.num_rows + np.arange(parts[-1].num_rows))
    return _stack(parts), np.concatenate(said), np.concatenate(source)


def _inputs(model: Model, table: pa.Table) -> pa.Table:
    missing = [name for name in model.names if name not in table.column_names]
    if missing:
        raise DataError(f"the data has no column {missing[0]!r}, which the model learned from.")
    return table.select(list(model.names))


def _stack(parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise DataError(f"labelled and unlabelled rows hold different kinds of values: {error}.") from error


def _say(model: Model, rows: pa.Table) -> NDArray[np.float64]:
    return model.predict_proba(rows) if len(model.classes_) else model.predict(rows).astype(np.float64)


def _out_of_fold(teacher: Any, model: Model, rows: pa.Table, truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the teacher says, of rows that it has learned from what it said before it had, where that is known."""
    said, values = _say(model, rows), model.encoder.encode(rows)
    outcome, evidence = getattr(teacher, "outcome_", None), model.evidence
    if outcome is not None and outcome.study.settings["data"] == fingerprint(values, truth):
        shipped = outcome.shipment
        before = shipped.prediction
        said[shipped.rows] = before if shipped.temperature == 1.0 else apply_temperature(before, shipped.temperature)
    elif evidence is not None:
        order = np.argsort(evidence.marks)
        marks = mark_rows(values, truth)
        place = order[np.searchsorted(evidence.marks[order], marks).clip(0, len(order) - 1)]
        hit = evidence.marks[place] == marks
        said[hit] = evidence.prediction[place[hit]]
    return said


def _spread(
    model: Model, rows: pa.Table, said: NDArray[np.float64], source: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[Any], NDArray[np.float64], NDArray[np.int64]]:
    """Return rows with one target each, and a weight: a row of several likely classes becomes several."""
    import pyarrow as pa

    if not len(model.classes_):
        return rows, said, np.ones(len(said)), source
    least = np.minimum(LEAST, said.max(axis=1, keepdims=True))  # of hundreds of classes all may be unlikely
    said = np.where(said < least, 0.0, said)
    said /= said.sum(axis=1, keepdims=True)
    row, code = np.nonzero(said)
    return rows.take(pa.array(row)), model.classes_[code], said[row, code], source[row]


# ---- mixed rows


def _mix(rows: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Return the rows `MIXED` times, one after the other, each with some columns from another row."""
    import pyarrow as pa

    source = np.tile(np.arange(rows.num_rows), MIXED)
    other = rng.integers(0, rows.num_rows, len(source))
    return pa.table({
        name: rows[name].take(pa.array(np.where(rng.random(len(source)) < SWAP, other, source)))
        for name in rows.column_names
    })  # fmt: skip


# ---- what became of it


def compare(teacher: Model, student: Model, rows: pa.Table, holdout: pa.Table | None) -> dict[str, Any]:
    """Return what each costs, and how good it is on held-out rows where there are any, as plain data.

    Scores are by the teacher's metric; microseconds are the median for one row, measured here.
    """
    from automl.report.cost import size_of, time_of_row
    from automl.report.judged import judge, known_metric

    metric = known_metric(teacher)
    told: dict[str, Any] = {"metric": metric.name, "rows": None}
    for name, model in (("teacher", teacher), ("student", student)):
        told[name] = {
            "members": len(model.predictor.parts) + len(model.predictor.opaque),
            "trees": model.predictor.trees,
            "bytes": size_of(model),
            "microseconds": time_of_row(model, rows)[0] * 1e6,
        }
        if holdout is not None:
            judged = judge(model, holdout)[-1]
            told["rows"] = len(judged)
            told[name]["score"] = judged.score(metric).value
    return told
