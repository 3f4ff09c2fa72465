"""How good the model is: scores with intervals, and what they may be worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl.report.classes import class_figures, class_tables
from automl.report.judged import HELD_OUT, OUT_OF_FOLD, known_metric, metrics_of, overlap
from automl.report.numbers import number_figures
from automl.report.section import Section, Table
from automl_core import REGRESSION

if TYPE_CHECKING:
    from automl.model import Model
    from automl.report.judged import Judged, Score

__all__ = ["doubts", "quality_section"]

MANY = 0.1  # of the training rows, that are among the held-out ones beyond what twins explain


def quality_section(model: Model, judged: Sequence[Judged]) -> Section:
    """Compare out-of-fold with held-out scores, and draw where the model errs."""
    if not judged:
        return Section("How good it is", [
            ("The model's file holds no out-of-fold predictions: it was written before there were any, or nothing could be "
            "fitted. Give rows with a known target as data.")
        ])  # fmt: skip
    metrics, scores = metrics_of(model), model.info.get("scores", {})
    if model.task != REGRESSION and len(model.classes_) > 50:
        metrics = metrics[:1]
    head = ["metric", *(f"{part.name}, {len(part):,} rows" for part in judged)]
    cells = [[metric.name, *(str(part.score(metric)) for part in judged)] for metric in metrics]
    text = ["In brackets: 95 % intervals, from resampled rows."]
    if len(judged) == 1 and judged[0].name == OUT_OF_FOLD and "held_out" not in scores:
        text.append("No held-out rows were given: the model was chosen by the rows that it is judged by here.")
    if judged[0].name == OUT_OF_FOLD and len(judged[0]) < model.info.get("rows", 0):
        text.append("Out-of-fold figures are of a random sample of the training rows.")
    if (rows := model.info.get("held_out_rows", 0)) and "held_out" in scores:
        text.append(f"The model scores {scores['held_out']:.4g} by {model.metric} on {rows:,} rows that no model saw.")
    if model.info.get("origin", {}).get("weighted"):
        text.append("The fit weighed rows; here each row counts once.")
    last = judged[-1]
    figures = number_figures(judged) if model.task == REGRESSION else class_figures(judged)
    tables = [Table(head, cells), *([] if model.task == REGRESSION else class_tables(last))]
    return Section("How good it is", text, tables, figures)


def doubts(model: Model, judged: Sequence[Judged]) -> list[str]:
    """Return every reason to trust the score less: leaks, optimism of the choice, held-out rows that say otherwise."""
    found = [str(warning) for warning in model.info.get("warnings", ())]
    scores, metric = model.info.get("scores", {}), known_metric(model)
    chosen, nested = scores.get("out_of_fold"), scores.get("nested")
    own = judged[0].score(metric) if judged and judged[0].name == OUT_OF_FOLD and metric.name == model.metric else None
    if chosen is not None and nested is not None and own is not None and own.low is not None and own.high is not None:
        worse = (chosen - nested) if metric.greater else (nested - chosen)
        if worse > (own.high - own.low) / 4:  # one standard error
            found.append(
                f"the ensemble's weights flatter its score: {metric.name} is {chosen:.4g} on the rows that chose them, and "
                f"{nested:.4g} on rows that did not."
            )
    if judged and judged[-1].name == HELD_OUT:
        shared, twins = overlap(model, judged[-1])
        if shared > twins + MANY:
            found.append(
                f"{shared:.0%} of the training rows have an equal row among those given as held out: if they are the same "
                "rows, their score is flattered."
            )
    if own is not None and judged[-1].name == HELD_OUT:
        found += _disagreement(metric.name, metric.greater, own, judged[-1].score(metric))
    return found


def _disagreement(name: str, greater: bool, own: Score, later: Score) -> list[str]:
    if own.low is None or own.high is None or later.low is None or later.high is None:
        return []
    apart = later.high < own.low if greater else later.low > own.high
    if not apart:
        return []
    return [
        (
            f"held-out rows score worse than chance explains: {name} is {later}, but {own} out of fold. They may differ from "
            "the training rows, or something leaked into those."
        )
    ]
