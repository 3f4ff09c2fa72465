"""Whether the model serves groups of rows alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.report.drawing import shorten
from automl.report.judged import known_metric
from automl.report.section import Section, Table, number
from automl.scalars import as_text, is_missing
from automl_core import BINARY, REGRESSION, DataError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from automl.report.judged import Judged

__all__ = ["groups_section"]

MAX_GROUPS = 12
FEW = 30  # rows, below which a group's figures say little
BANDS = 4


def groups_section(judged: Judged | None, columns: Sequence[str]) -> Section:
    """Compare groups that columns name: their scores, and for two classes who is picked, found and wrongly picked.

    Raises:
        DataError: a column is not there, or the rows are not at hand.
    """
    if judged is None or judged.table is None:
        raise DataError("groups need rows: give the training table or held-out rows as data.")
    text = [
        (
            f"Rows {judged.name}, by group. A difference is a reason to look, and no verdict: groups may differ in what they are, "
            f"and those of fewer than {FEW} rows say little."
        )
    ]
    tables = []
    for name in columns:
        if name not in judged.table.column_names:
            known = judged.table.column_names
            raise DataError(f"there is no column {name!r} to take groups from.{did_you_mean(name, known)}")
        members = _members(judged.table[name])
        table, gap = _compare(judged, name, members)
        tables.append(table)
        text += gap
    return Section("Fairness", text, tables)


def _members(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Return each row's group, as text; numbers of many values in bands of equally many rows."""
    values = column.to_pylist()
    present = [value for value in values if not is_missing(value)]
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)
    if numeric and len(set(present)) > MAX_GROUPS:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, BANDS + 1)))
        names = [f"{number(float(a))} to {number(float(b))}" for a, b in itertools.pairwise(edges)]
        return np.array(
            [
                "missing" if is_missing(v) else names[min(int(np.searchsorted(edges, v, "right")) - 1, len(names) - 1)]
                for v in values
            ]
        )
    return np.array(["missing" if is_missing(value) else as_text(value) for value in values])


def _compare(judged: Judged, name: str, members: NDArray[np.str_]) -> tuple[Table, list[str]]:
    names, counts = np.unique(members, return_counts=True)
    shown = names[np.argsort(-counts, kind="stable")][:MAX_GROUPS]
    metric = known_metric(judged.model)
    rows, picked = [], {}
    for group in shown:
        mine = members == group
        facts = _facts(judged, mine)
        if mine.sum() >= FEW:
            picked[group] = facts[0]
        rows.append(
            [shorten(group), f"{mine.sum():,}", str(judged.score(metric, mine)), *(number(f, 3) for f in facts)]
        )
    caption = f"By {name}" + (f", the {MAX_GROUPS} largest of {len(names)} groups" if len(names) > MAX_GROUPS else "")
    return Table(("group", "rows", metric.name, *_head(judged)), rows, caption=caption), _gap(judged, name, picked)


def _head(judged: Judged) -> tuple[str, ...]:
    if judged.model.task == REGRESSION:
        return "mean error", "mean absolute error", "mean truth"
    if judged.model.task == BINARY:
        return "predicted positive", "truly positive", "true positive rate", "false positive rate"
    return ("accuracy",)


def _facts(judged: Judged, mine: NDArray[np.bool_]) -> list[float | None]:
    target = judged.target[mine]
    if judged.model.task == REGRESSION:
        error = target - judged.prediction[mine]
        return [float(error.mean()), float(np.abs(error).mean()), float(target.mean())]
    labels = judged.labels[mine]
    if judged.model.task != BINARY:
        return [float((labels == target).mean())]
    rates = [float(labels[target == code].mean()) if (target == code).any() else None for code in (1, 0)]
    return [float(labels.mean()), float(target.mean()), *rates]


def _gap(judged: Judged, name: str, picked: dict[str, float | None]) -> list[str]:
    """Return what the groups of enough rows differ by, in the first of their figures."""
    known = {group: value for group, value in picked.items() if value is not None}
    if len(known) < 2:
        return []
    low, high = min(known, key=lambda g: known[g]), max(known, key=lambda g: known[g])
    if judged.model.task == BINARY:
        ratio = known[low] / known[high] if known[high] else 1.0
        positive = judged.model.classes_[1]
        return [
            (
                f"By {name}: {positive} is predicted for {known[low]:.1%} of {low} and {known[high]:.1%} of {high}, a ratio of "
                f"{ratio:.2f}; a rule of thumb asks for 0.8."
            )
        ]
    what = _head(judged)[0]
    return [f"By {name}: the {what} is {known[low]:.3g} for {low} and {known[high]:.3g} for {high}."]
