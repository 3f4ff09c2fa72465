"""A model in a notebook: a few lines, and its leaderboard folded away."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from automl.report.section import number

if TYPE_CHECKING:
    from automl.model import Model

__all__ = ["card"]

TOP = 5


def card(model: Model) -> str:
    """Return the model as a small piece of HTML, for notebooks; needs no library."""
    scores, rows = model.info.get("scores", {}), model.info.get("rows")
    members = len(model.predictor.parts) + len(model.predictor.opaque)
    top = list(model.feature_importance().items())[:TOP]
    held_out = f"{model.info.get('held_out_rows', 0):,} held-out rows"
    facts = {
        "task": model.task + (f" of {len(model.classes_)} classes" if len(model.classes_) > 2 else ""),
        model.metric: f"{number(scores['out_of_fold'], 5)} out of fold" if "out_of_fold" in scores else "",
        f"on {held_out}": number(scores.get("held_out"), 5),
        "fitted to": f"{rows:,} rows of {len(model.names)} columns" if rows else f"{len(model.names)} columns",
        "members": f"{members}, {model.predictor.trees:,} trees",
        "relies on": ", ".join(f"{name} {share:.0%}" for name, share in top),
        "warnings": " ".join(str(warning) for warning in model.info.get("warnings", ())),
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for name, value in facts.items()
        if name and value
    )
    board = model.leaderboard()._repr_html_()
    return (
        f"<div><b>Model of {escape(model.target)}</b><table>{cells}</table>"
        f"<details><summary>leaderboard</summary>{board}</details></div>"
    )
