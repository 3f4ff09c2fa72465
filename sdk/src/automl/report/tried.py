"""What was tried, how the score grew with time, and how the best models learned."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.report.drawing import BLUE, COLOURS, GREY, drawing
from automl.report.judged import known_metric
from automl.report.section import Section, Table, number
from automl.study.pseudo import tell_unlabelled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from automl.model import Model
    from automl.report.section import Figure

__all__ = ["tried_section"]

SHOWN = 25
MAX_SETTINGS = 120
ENDED = {
    "noise": "It took the last, as more would gain no more than noise.",
    "memory": "It took the last, as there is no room for more.",
    "time": "There was no time to look further, so it took all that there is room for.",
}


def tried_section(model: Model) -> Section:
    """List trials, best first, and draw the best score over time and the loss over rounds."""
    board = list(model.leaderboard())
    trials = [row for row in board if row["name"] != "ensemble"]
    states = Counter(str(row.get("state")) for row in trials)
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    folds = model.info.get("folds")
    how = "one held-back part" if folds == 1 else f"{folds} folds" if folds else "cross-validation"
    text = [f"{len(trials)} trials ({told or 'none'}), each judged by {how}; the score is {model.metric}, out of fold."]
    if len(board) > SHOWN:
        text.append(f"The first {SHOWN} of {len(board)} rows:")
    if more := model.info.get("unlabelled"):
        text.append(f"The {tell_unlabelled(more, model.metric)}.")
    head = ("model", model.metric, "weight", "seconds", "rounds", "columns as", "state", "configuration")
    tables = [Table(head, [_row(row) for row in board[:SHOWN]]), *_sample_curve(model)]
    figures = [figure for figure in (_budget(model, trials), *_curves(model)) if figure is not None]
    return Section("What was tried", text, tables, figures)


def _sample_curve(model: Model) -> list[Table]:
    """Tell why the search learned from so many rows of a table that was read in batches."""
    curve = model.info.get("sample_curve")
    if not curve:
        return []
    head = ("rows", "loss", "gain", "within noise up to", "seconds")
    rows = [
        [number(point.get(name), 7) for name in ("rows", "loss", "gain", "noise", "seconds")]
        for point in curve["points"]
    ]
    return [Table(head, rows, 0, f"How many rows the search needs. {ENDED[curve['ended']]}")]


def _row(row: Mapping[str, Any]) -> list[str]:
    weight = row.get("weight")
    settings = ", ".join(f"{name}={_short(value)}" for name, value in (row.get("params") or {}).items())
    if len(settings) > MAX_SETTINGS:
        settings = f"{settings[: MAX_SETTINGS - 1]}…"
    return [
        str(row["name"]),
        number(row.get("score"), 5),
        f"{weight:.1%}" if weight else "",
        number(row.get("seconds"), 3),
        number(row.get("rounds")),
        row.get("view") or "",
        f"{row.get('state') or ''}" + (f": {row['error']}" if row.get("error") else ""),
        settings,
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _budget(model: Model, trials: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Draw each trial when it ended, and the best so far; None where nobody noted the time."""
    done = sorted(
        (row for row in trials if row.get("elapsed") and row.get("score") is not None), key=lambda row: row["elapsed"]
    )
    if len(done) < 2:
        return None
    times, losses = np.array([row["elapsed"] for row in done]), np.array([row["loss"] for row in done])
    scores, best = np.array([row["score"] for row in done]), np.minimum.accumulate(losses)
    families = sorted({str(row["learner"]).partition(".")[0] for row in done})
    with drawing(f"{model.metric} out of fold over the seconds spent: each trial, and the best so far") as made:
        for family, colour in zip(families, COLOURS * len(families), strict=False):
            mine = np.array([str(row["learner"]).partition(".")[0] == family for row in done])
            made.axes.plot(times[mine], scores[mine], "o", markersize=4, alpha=0.7, color=colour, label=family)
        so_far = [known_metric(model).to_score(loss) for loss in best]
        if known_metric(model).name == model.metric:
            made.axes.step(
                [*times, max(times[-1], model.info.get("seconds", 0))],
                [*so_far, so_far[-1]],
                where="post",
                color=GREY,
                zorder=1,
            )
        made.axes.set_xlim(left=0)
        made.axes.set_xlabel("seconds")
        made.axes.set_ylabel(model.metric)
        # One trial that went astray would flatten all others.
        low, high = np.quantile(scores, [0.1, 0.9])
        reach = max(3 * (high - low), 1e-9)
        made.axes.set_ylim(
            max(scores.min(), low - reach) - 0.05 * reach, min(scores.max(), high + reach) + 0.05 * reach
        )
        made.axes.legend(loc="best", fontsize=8)
    return made.figure


def _curves(model: Model) -> list[Figure]:
    """Draw the validation loss over the rounds of the members that weigh most."""
    figures = []
    for curve in model.info.get("curves", ()):
        with drawing(
            f"{curve['name']}: its own loss on the parts it did not learn from, and the rounds that were kept"
        ) as made:
            made.axes.plot(curve["rounds"], curve["loss"], color=BLUE)
            if curve.get("kept"):
                made.axes.axvline(curve["kept"], color=GREY, linestyle="--")
            made.axes.set_xlabel("rounds")
            made.axes.set_ylabel("loss")
        figures.append(made.figure)
    return figures
