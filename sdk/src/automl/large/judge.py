"""How good the model is on the rows that none saw, and what became of every row."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from automl.large.survey import Survey
    from automl.metrics import Metric
    from automl.model import Model
    from automl.study.clock import Clock
    from automl.target import TargetCoder

__all__ = ["score_held_out", "tell_fates"]

log = logging.getLogger("automl.large")


def score_held_out(
    model: Model, survey: Survey, coder: TargetCoder, *, metric: Metric, clock: Clock, threads: int
) -> None:
    """Predict the held-out rows part by part, and tell the model its score on them.

    Memory holds a batch of rows, and the predictions of all held-out ones. Where time runs out, the score is of the parts
    read until then. Writes "held_out" and "held_out_rows" into the model's info and the ensemble's row of its leaderboard.
    """
    parts = []
    for table in survey.held_out_rows():
        if clock.left <= 0:
            break
        values, target = model.encoder.encode(table), coder.encode(table[survey.target])
        parts.append((target, model.predictor.predict(values, threads=threads)))
    rows = sum(len(target) for target, _ in parts)
    model.info["held_out_rows"] = rows
    if rows < survey.held_out:
        said = f"time ran out after {rows:,} of the {survey.held_out:,} held-out rows"
        log.warning(said)
        model.info["warnings"] = [*model.info.get("warnings", ()), f"{said}: their score is of those alone."]
    if not rows:
        return
    loss = metric.loss(np.concatenate([target for target, _ in parts]), np.concatenate([said for _, said in parts]))
    score = float(metric.to_score(loss))
    log.info("%s %.5g on %d held-out rows", metric.name, score, rows)
    model.info["scores"] = {**model.info.get("scores", {}), "held_out": score}
    for row in model._leaderboard:
        if row["name"] == "ensemble":
            row |= {"held_out": score, "held_out_rows": rows}


def tell_fates(model: Model, survey: Survey, searched: int) -> None:
    """Write into the model's info how many rows each use took.

    "fates" holds "searched", rows of the sample; "learned", rows that models in the ensemble learned from, the sample among
    them; "watched", rows that ended fits on all rows and weighed their models; "held_out"; "without_target"; and "unused".
    All but "searched" sum to "all_rows".
    """
    learned = model.info.setdefault("learned_rows", searched)
    fates = {
        "learned": learned, "watched": survey.watched.num_rows, "held_out": survey.held_out,
        "without_target": survey.rows - survey.known,
    }  # fmt: skip
    fates["unused"] = survey.rows - sum(fates.values())
    model.info |= {"all_rows": survey.rows, "sample_rows": searched, "fates": {"searched": searched, **fates}}
