"""What data the model learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.report.drawing import BLUE, drawing, shorten
from automl.report.section import Section, Table, number
from automl_core import REGRESSION

if TYPE_CHECKING:
    from automl.model import Model
    from automl.report.judged import Judged
    from automl.report.section import Figure
    from automl.schema import Input

__all__ = ["data_section"]

MAX_COLUMNS = 60
MAX_CLASSES = 20


def data_section(model: Model, judged: Judged | None) -> Section:
    """Describe the training table: its columns, what is missing, the target, and what was left out."""
    text = [_rows(model), *_fates(model)]
    text += [f"{note}." for note in model.info.get("notes", ())]
    tables = []
    if model.schema is not None:
        shares = model.feature_importance()
        inputs = sorted(model.schema.inputs, key=lambda item: -shares.get(item.name, 0.0))
        if len(inputs) > MAX_COLUMNS:
            text.append(f"The {MAX_COLUMNS} most important of {len(inputs)} columns:")
        head = ("column", "kind", "missing", "distinct", "mean or most frequent", "range", "importance")
        tables.append(Table(head, [_describe(item, shares.get(item.name)) for item in inputs[:MAX_COLUMNS]], 2))
    return Section("Data", text, tables, [] if judged is None else [_target(model, judged)])


def _rows(model: Model) -> str:
    rows, columns = model.info.get("rows"), len(model.names)
    source = model.info.get("origin", {}).get("data")
    known = f"{rows:,} rows" if rows else "An unknown number of rows"
    if "fates" in model.info:
        known = f"The search learned from a sample of {known}"
    return f"{known} of {columns} columns{f' from {source}' if source else ''}; the target is {model.target!r}."


def _fates(model: Model) -> list[str]:
    """Say what became of each row of a table that was read in batches."""
    fates = model.info.get("fates")
    if not fates:
        return []
    uses = {
        "learned": "were learned from", "watched": "ended fits and weighed models", "held_out": "were held out",
        "without_target": "have no target", "unused": "were not used",
    }  # fmt: skip
    told = ", ".join(f"{fates[name]:,} {use}" for name, use in uses.items() if fates[name])
    return [f"The table was read in batches, {model.info['all_rows']:,} rows in all: {told}."]


def _describe(item: Input, share: float | None) -> list[str]:
    facts = item.statistics
    typical = number(facts.mean) if facts.mean is not None else shorten(facts.levels[0]) if facts.levels else ""
    spread = "" if facts.minimum is None else f"{number(facts.minimum)} to {number(facts.maximum)}"
    missing = f"{facts.missing:.1%}" if facts.missing else "none"
    last = f"not used: {item.dropped}" if item.dropped else "" if share is None else f"{share:.1%}"
    return [item.name, item.kind, missing, f"{facts.distinct:,}", typical, spread, last]


def _target(model: Model, judged: Judged) -> Figure:
    with drawing(f"{model.target} in {len(judged):,} rows {judged.name}") as made:
        axes = made.axes
        if model.task == REGRESSION:
            low, high = np.quantile(judged.target, [0.005, 0.995])
            axes.hist(np.clip(judged.target, low, high), bins=40, color=BLUE)
            axes.set_xlabel(shorten(model.target, 40))
        else:
            counts = np.bincount(judged.target.astype(np.int64), minlength=len(model.classes_))
            shown = np.argsort(-counts, kind="stable")[:MAX_CLASSES][::-1]
            axes.barh([shorten(model.classes_[i]) for i in shown], counts[shown], color=BLUE)
            axes.grid(visible=False, axis="y")
            axes.set_xlabel("rows")
    return made.figure
