"""Figures of a classification: confusion, ROC, precision and recall, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import confusion
from automl.report.drawing import BLUE, COLOURS, GREY, ORANGE, drawing, shorten
from automl.report.section import Table, number
from automl_core import BINARY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.report.judged import Judged
    from automl.report.section import Figure

__all__ = ["class_figures", "class_tables"]

MAX_CLASSES = 12  # in a confusion matrix
MAX_CURVES = 5
POINTS = 200  # that each axis tells apart
BINS = 10


def class_tables(judged: Judged) -> list[Table]:
    """Return precision, recall and F1 per class, most frequent first."""
    table = _confusion(judged)
    names = judged.model.classes_
    rows = []
    for code in np.argsort(-table.sum(axis=1), kind="stable")[:MAX_CLASSES]:
        truth, said, hit = table[code].sum(), table[:, code].sum(), table[code, code]
        shares = [_share(hit, said), _share(hit, truth), _share(2 * hit, truth + said)]
        rows.append([str(names[code]), number(float(truth)), *(number(share, 3) for share in shares)])
    return [Table(("class", "rows", "precision", "recall", "F1"), rows, caption=f"By class, {judged.name}")]


def class_figures(judged: Sequence[Judged]) -> list[Figure]:
    last = judged[-1]
    curves = [_roc(judged), _precision_recall(judged)] if last.model.task == BINARY else [_roc_of_classes(last)]
    return [_matrix(last), *curves, _calibration(judged)]


def _confusion(judged: Judged) -> NDArray[np.float64]:
    size = len(judged.model.classes_)
    table = np.zeros((size, size))
    found = confusion(judged.target, judged.labels, None)
    table[: len(found), : len(found)] = found
    return table


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _matrix(judged: Judged) -> Figure:
    table, names = _confusion(judged), judged.model.classes_
    shown = np.sort(np.argsort(-table.sum(axis=1), kind="stable")[:MAX_CLASSES])
    table = table[np.ix_(shown, shown)]
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    labels = [shorten(names[i], 14) for i in shown]
    more = f", the {MAX_CLASSES} most frequent classes" if len(names) > MAX_CLASSES else ""
    with drawing(
        f"Confusion, {judged.name}{more}: rows by their class, and the share that is predicted as each"
    ) as made:
        axes = made.axes
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.grid(visible=False)
        axes.set_xticks(
            range(len(labels)),
            labels,
            rotation=30 if len(labels) > 4 else 0,
            ha="right" if len(labels) > 4 else "center",
        )
        axes.set_yticks(range(len(labels)), labels)
        axes.set_xlabel("predicted")
        axes.set_ylabel("truth")
        for (i, j), count in np.ndenumerate(table):
            text = f"{count:.0f}" if len(labels) > 5 else f"{count:,.0f}\n{shares[i, j]:.0%}"
            axes.text(
                j, i, text, ha="center", va="center", fontsize=8, color="white" if shares[i, j] > 0.55 else "#222"
            )
    return made.figure


def _roc(judged: Sequence[Judged]) -> Figure:
    from sklearn.metrics import roc_auc_score, roc_curve

    with drawing(f"ROC curve for {judged[-1].model.classes_[1]}") as made:
        for part, colour in zip(judged, (BLUE, ORANGE), strict=False):
            if len(np.unique(part.target)) == 2:
                false, true, _ = roc_curve(part.target, part.prediction[:, 1])
                area = roc_auc_score(part.target, part.prediction[:, 1])
                made.axes.plot(*_thin(false, true), color=colour, label=f"{part.name}, area {area:.3f}")
        _diagonal(made.axes)
        made.axes.set_xlabel("false positive rate")
        made.axes.set_ylabel("true positive rate")
        made.axes.legend(loc="lower right", fontsize=8)
    return made.figure


def _precision_recall(judged: Sequence[Judged]) -> Figure:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    with drawing(f"Precision and recall for {judged[-1].model.classes_[1]}; dashed: by chance") as made:
        for part, colour in zip(judged, (BLUE, ORANGE), strict=False):
            if part.target.any():
                precision, recall, _ = precision_recall_curve(part.target, part.prediction[:, 1])
                mean = average_precision_score(part.target, part.prediction[:, 1])
                made.axes.plot(
                    *_thin(recall, precision), color=colour, label=f"{part.name}, average precision {mean:.3f}"
                )
                made.axes.axhline(part.target.mean(), color=GREY, linestyle="--", linewidth=1)
        made.axes.set_ylim(0, 1.02)
        made.axes.set_xlabel("recall")
        made.axes.set_ylabel("precision")
        made.axes.legend(loc="best", fontsize=8)
    return made.figure


def _roc_of_classes(judged: Judged) -> Figure:
    from sklearn.metrics import roc_auc_score, roc_curve

    counts = np.bincount(judged.target.astype(np.int64), minlength=len(judged.model.classes_))
    shown = [k for k in np.argsort(-counts, kind="stable") if 0 < counts[k] < len(judged)][:MAX_CURVES]
    with drawing(f"ROC curve of each class against the others, {judged.name}; at most {MAX_CURVES} classes") as made:
        for k, colour in zip(shown, COLOURS, strict=False):
            false, true, _ = roc_curve(judged.target == k, judged.prediction[:, k])
            area = roc_auc_score(judged.target == k, judged.prediction[:, k])
            name = shorten(judged.model.classes_[k], 16)
            made.axes.plot(*_thin(false, true), color=colour, label=f"{name}, area {area:.3f}")
        _diagonal(made.axes)
        made.axes.set_xlabel("false positive rate")
        made.axes.set_ylabel("true positive rate")
        made.axes.legend(loc="lower right", fontsize=8)
    return made.figure


def _calibration(judged: Sequence[Judged]) -> Figure:
    """Draw how often what is predicted comes true, in bins of equally many rows, with binomial errors."""
    binary = judged[-1].model.task == BINARY
    what = f"{judged[-1].model.classes_[1]}" if binary else "the predicted class"
    with drawing(f"Calibration: how often {what} is true where it is predicted with this probability") as made:
        for part, colour in zip(judged, (BLUE, ORANGE), strict=False):
            said = part.prediction[:, 1] if binary else part.prediction.max(axis=1)
            true = part.target == 1 if binary else part.target == part.prediction.argmax(axis=1)
            bins = np.array_split(np.argsort(said, kind="stable"), BINS)
            bins = [rows for rows in bins if len(rows)]
            mean = np.array([said[rows].mean() for rows in bins])
            share = np.array([true[rows].mean() for rows in bins])
            error = 1.96 * np.sqrt(share * (1 - share) / [len(rows) for rows in bins])
            made.axes.errorbar(mean, share, error, fmt="o-", color=colour, markersize=3.5, capsize=2, label=part.name)
        _diagonal(made.axes)
        made.axes.set_xlabel("predicted probability")
        made.axes.set_ylabel("share that is true")
        made.axes.legend(loc="upper left", fontsize=8)
    return made.figure


def _diagonal(axes: Any) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=1)


def _thin(x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the points that a drawing of this size can tell apart."""
    places = np.round(np.column_stack([x, y]) * POINTS)
    kept = np.r_[True, (np.diff(places, axis=0) != 0).any(axis=1)]
    kept[-1] = True
    return x[kept], y[kept]
