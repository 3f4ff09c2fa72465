"""The rows that the model gets most wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import row_losses
from automl.report.drawing import shorten
from automl.report.section import Section, Table, number
from automl_core import REGRESSION

if TYPE_CHECKING:
    from automl.report.judged import Judged

__all__ = ["wrong_section"]

SHOWN, COLUMNS = 12, 8


def wrong_section(judged: Judged) -> Section:
    """List the rows of the greatest loss, with the columns that matter most where the rows are at hand."""
    model = judged.model
    losses = row_losses(judged.target, judged.prediction)
    worst = np.argsort(-losses, kind="stable")[:SHOWN]
    shown = [
        name for name in model.feature_importance() if judged.table is not None and name in judged.table.column_names
    ]
    shown = shown[:COLUMNS]
    columns = {} if judged.table is None else {name: judged.table[name].take(worst).to_pylist() for name in shown}
    rows = []
    for place, row in enumerate(worst):
        cells = _said(judged, int(row)) + [_cell(columns[name][place]) for name in shown]
        rows.append([f"{judged.rows[row]:,}", *cells])
    text = [
        (
            f"The {len(rows)} rows of {len(judged):,} {judged.name} that cost most: their labels may be wrong, or something that "
            "explains them is in no column. Rows count from 0, those without a target left out."
        )
    ]
    if judged.table is None:
        text.append("Their values are not in the model's file: give the training table as data to see them.")
    head = ("row", "truth", "prediction", "error" if model.task == REGRESSION else "probability of the truth", *shown)
    return Section("Where it is wrong", text, [Table(head, rows, len(head))])


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) else shorten("missing" if value is None else value)


def _said(judged: Judged, row: int) -> list[str]:
    model, truth = judged.model, judged.target[row]
    if model.task == REGRESSION:
        said = float(judged.prediction[row])
        return [number(float(truth)), number(said), number(float(truth) - said)]
    labels = [shorten(model.classes_[int(code)]) for code in (truth, judged.labels[row])]
    return [*labels, f"{judged.prediction[row, int(truth)]:.1%}"]
