"""What the model relies on: importance by permutation, and how predictions depend on single columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.metrics import Metric
from automl.report.drawing import BLUE, COLOURS, drawing, shorten
from automl.report.judged import known_metric
from automl.report.section import Section
from automl_core import BINARY, REGRESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model
    from automl.report.judged import Judged
    from automl.report.section import Figure

__all__ = ["relies_section"]

MAX_COLUMNS = 20
REPEATS = 10
SECONDS = 8.0  # that the predictions of each part may take, by a measurement of a few
MIN_ROWS, MAX_ROWS = 100, 1500
PLOTS, STEPS, LEVELS = 6, 20, 8
MAX_LINES = 3


def relies_section(model: Model, judged: Judged | None) -> Section:
    """Draw importance and dependence; where no rows are at hand, the shares that training left in the trees.

    Args:
        judged: rows with their table.
    """
    shares = model.feature_importance()
    names = [name for name, share in shares.items() if share > 0][:MAX_COLUMNS]
    text = []
    if len(shares) > len(names):
        text.append(f"{len(names)} of {len(shares)} columns are shown, those that matter most.")
    if not names:
        return Section("What it relies on", ["The model reads no column."])
    if judged is None or judged.table is None:
        text.append(
            "Shares by the model itself: what splits brought, and what moves networks. How certain they are, and how "
            "predictions depend on each column, needs rows: give the training table or held-out rows as data."
        )
        return Section("What it relies on", text, figures=[_gains(names, shares)])
    text.append(
        f"By how much the {known_metric(model).name} is worse where a column's values are shuffled among the rows "
        f"{judged.name}. Columns that say the same share their importance."
    )
    if judged.name == "out of fold":
        text.append("The whole model is asked, which learned from these rows: shares are more certain than sizes.")
    figures = [_permutation(judged, names), *(_dependence(judged, name) for name in names[:PLOTS])]
    return Section("What it relies on", text, figures=figures)


def _columns_of(model: Model, name: str) -> NDArray[np.int64]:
    """Return the encoded columns that come from an input column."""
    return np.flatnonzero(np.asarray(model.encoder.source) == model.names.index(name))


def _rows_within(judged: Judged, predictions: int) -> NDArray[np.int64]:
    """Return as many rows as can be predicted so often within `SECONDS`."""
    few = judged.encoded[: min(MIN_ROWS, len(judged))]
    started = time.perf_counter()
    judged.model.predictor.predict(few)
    each = max(time.perf_counter() - started, 1e-5) / len(few)
    count = int(np.clip(SECONDS / (each * predictions), MIN_ROWS, MAX_ROWS))
    rows = np.arange(len(judged))
    return rows if count >= len(rows) else np.sort(np.random.default_rng(0).choice(rows, count, replace=False))


def _permutation(judged: Judged, names: Sequence[str]) -> Figure:
    """Draw permutation importance (Breiman 2001), each repetition on resampled rows, so that it tells both spreads."""
    metric = known_metric(judged.model)
    rows = _rows_within(judged, REPEATS * (len(names) + 1))
    rng = np.random.default_rng(0)
    rises = np.zeros((len(names), REPEATS))
    for repeat in range(REPEATS):
        drawn = rng.choice(rows, len(rows))
        values, target = judged.encoded[drawn], judged.target[drawn]
        plain = _loss(judged, metric, values, target)
        for place, name in enumerate(names):
            mixed, columns = values.copy(), _columns_of(judged.model, name)
            mixed[:, columns] = values[rng.permutation(len(values))][:, columns]
            rises[place, repeat] = _loss(judged, metric, mixed, target) - plain
    order = np.argsort(rises.mean(axis=1))
    mean = rises.mean(axis=1)[order]
    low, high = np.quantile(rises[order], [0.05, 0.95], axis=1)
    caption = f"Importance: rise of the loss without a column, mean and 90 % range of {REPEATS} repetitions on {len(rows):,} rows"
    with drawing(caption, height=1.0 + 0.21 * len(names)) as made:
        spread = np.maximum([mean - low, high - mean], 0)
        made.axes.barh([shorten(names[i]) for i in order], mean, xerr=spread, color=BLUE, ecolor="#444", capsize=2)
        made.axes.grid(visible=False, axis="y")
        made.axes.set_xlabel(f"rise of {metric.name} loss" if metric.greater else f"rise of {metric.name}")
    return made.figure


def _loss(judged: Judged, metric: Metric, values: NDArray[np.float32], target: NDArray[np.float64]) -> float:
    said = judged.model.predictor.predict(np.ascontiguousarray(values))
    if metric.needs == "label" and judged.model.task == BINARY:
        said = np.eye(2)[(said[:, 1] >= judged.model.threshold).astype(int)]
    return metric.loss(target, said)


def _gains(names: Sequence[str], shares: dict[str, float]) -> Figure:
    with drawing("Importance: each column's share, by the model itself", height=1.0 + 0.21 * len(names)) as made:
        made.axes.barh(
            [shorten(name) for name in reversed(names)], [shares[name] for name in reversed(names)], color=BLUE
        )
        made.axes.grid(visible=False, axis="y")
        made.axes.xaxis.set_major_formatter("{x:.0%}")
    return made.figure


# ---- dependence


def _dependence(judged: Judged, name: str) -> Figure:
    """Draw partial dependence (Friedman 2001), with the middle half of the rows' own curves."""
    ticks, places, ordered = _grid(judged, name)
    rows = _rows_within(judged, PLOTS * max(len(places), 1))[:500]
    columns, model = _columns_of(judged.model, name), judged.model
    said = []
    for place in places:
        values = judged.encoded[rows].copy()
        values[:, columns] = judged.encoded[place, columns]
        answer = model.predictor.predict(values)
        said.append(answer[:, 1:] if model.task == BINARY else answer.reshape(len(rows), -1))
    curves = np.stack(said)  # (steps, rows, lines)
    what = (
        model.target
        if model.task == REGRESSION
        else f"probability of {model.classes_[1]}"
        if model.task == BINARY
        else "probability"
    )
    frequent = np.argsort(-curves.mean(axis=(0, 1)))[:MAX_LINES]
    with drawing(
        f"{shorten(what, 40)} by {shorten(name, 40)}: the mean over {len(rows)} rows, shaded the middle half of them"
    ) as made:
        x = np.array(ticks, dtype=np.float64) if ordered else np.arange(len(ticks))
        for line, colour in zip(frequent, COLOURS, strict=False):
            label = str(model.classes_[line]) if model.task not in (BINARY, REGRESSION) else None
            low, high = np.quantile(curves[:, :, line], [0.25, 0.75], axis=1)
            mean = curves[:, :, line].mean(axis=1)
            if ordered:
                made.axes.plot(x, mean, color=colour, label=label)
                made.axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
            else:
                spread = np.maximum([mean - low, high - mean], 0)
                made.axes.errorbar(x, mean, spread, fmt="o", color=colour, capsize=2, label=label)
        if not ordered:
            made.axes.set_xticks(x, [shorten(tick, 12) for tick in ticks], rotation=30, ha="right")
        made.axes.set_xlabel(shorten(name, 40))
        if label is not None:
            made.axes.legend(loc="best", fontsize=8)
    return made.figure


def _grid(judged: Judged, name: str) -> tuple[list[object], list[int], bool]:
    """Return values to try, a row that holds each, and whether they are numbers."""
    import pyarrow as pa

    assert judged.table is not None  # noqa: S101 - `relies_section` has looked
    column = judged.table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.to_pylist()
    held: dict[object, list[int]] = {}
    for row, value in enumerate(values):
        if value is not None and value == value and not isinstance(value, list | dict):
            held.setdefault(value, []).append(row)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in held) and len(held) > LEVELS:
        known = np.sort([value for value in values if isinstance(value, int | float) and value == value])
        ticks = np.unique(np.quantile(known, np.linspace(0.02, 0.98, STEPS), method="nearest")).tolist()
        return ticks, [held[tick][0] for tick in ticks], True
    frequent = sorted(held, key=lambda value: -len(held[value]))[:LEVELS]
    if not all(isinstance(value, str) for value in frequent):
        frequent = sorted(frequent, key=lambda value: (str(type(value)), value))
    return frequent, [held[value][0] for value in frequent], False
