"""Figures of a regression: truth against prediction, residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.report.drawing import BLUE, GREY, ORANGE, drawing

if TYPE_CHECKING:
    from automl.report.judged import Judged
    from automl.report.section import Figure

__all__ = ["number_figures"]

MAX_POINTS = 800  # an SVG holds each of them
BINS = 12


def number_figures(judged: Sequence[Judged]) -> list[Figure]:
    last = judged[-1]
    return [_truth(last), _residuals(last), _histogram(judged)]


def _sample(judged: Judged) -> np.ndarray:
    rows = np.arange(len(judged))
    return rows if len(rows) <= MAX_POINTS else np.random.default_rng(0).choice(rows, MAX_POINTS, replace=False)


def _truth(judged: Judged) -> Figure:
    rows = _sample(judged)
    with drawing(f"Truth against prediction, {judged.name}; dashed: a perfect model") as made:
        made.axes.plot(
            judged.prediction[rows], judged.target[rows], "o", markersize=3, alpha=0.45, color=BLUE, markeredgewidth=0
        )
        ends = [judged.target[rows].min(), judged.target[rows].max()]
        made.axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
        made.axes.set_xlabel("prediction")
        made.axes.set_ylabel("truth")
    return made.figure


def _residuals(judged: Judged) -> Figure:
    rows, error = _sample(judged), judged.target - judged.prediction
    bins = [part for part in np.array_split(np.argsort(judged.prediction, kind="stable"), BINS) if len(part)]
    with drawing(
        f"Truth less prediction, {judged.name}: each row, and the mean of neighbours with its 95 % interval"
    ) as made:
        made.axes.plot(
            judged.prediction[rows], error[rows], "o", markersize=3, alpha=0.35, color=BLUE, markeredgewidth=0
        )
        spread = [1.96 * error[part].std() / np.sqrt(len(part)) for part in bins]
        centre = [judged.prediction[part].mean() for part in bins]
        made.axes.errorbar(
            centre, [error[part].mean() for part in bins], spread, fmt="o-", color=ORANGE, markersize=3.5, capsize=2
        )
        made.axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
        made.axes.set_xlabel("prediction")
        made.axes.set_ylabel("truth less prediction")
    return made.figure


def _histogram(judged: Sequence[Judged]) -> Figure:
    errors = [part.target - part.prediction for part in judged]
    low, high = np.quantile(np.concatenate(errors), [0.005, 0.995])
    edges = np.linspace(low, high, 41) if high > low else np.linspace(low - 0.5, high + 0.5, 41)
    with drawing("How often truth less prediction is how much; the farthest 1 % count at the ends") as made:
        for part, error, colour in zip(judged, errors, (BLUE, ORANGE), strict=False):
            share = np.full(len(error), 1 / len(error))
            made.axes.hist(
                np.clip(error, low, high), bins=edges.tolist(), weights=share, alpha=0.6, color=colour, label=part.name
            )
        made.axes.set_xlabel("truth less prediction")
        made.axes.set_ylabel("share of rows")
        made.axes.legend(loc="best", fontsize=8)
    return made.figure
