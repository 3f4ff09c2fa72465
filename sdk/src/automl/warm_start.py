"""What an earlier model has to say to a new search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl.study.members import Proposal
from automl.study.views import PSEUDO
from automl_core import Candidate, DataError

if TYPE_CHECKING:
    from automl.model import Model

__all__ = ["members_of"]


def members_of(earlier: Any, task: str) -> tuple[Proposal, ...]:
    """Return the configurations that an earlier ensemble is made of, the heaviest first.

    Args:
        earlier: a model, or an engine that was fitted.

    Raises:
        DataError: it is of another task.
    """
    model: Model = getattr(earlier, "model_", earlier)
    if model.task != task:
        raise DataError(f"warm_start is a model of a {model.task} task, and this is a {task} task.")
    rows = sorted((row for row in model.leaderboard()[1:] if row["weight"]), key=lambda row: -row["weight"])
    return tuple(
        Proposal(row["learner"], Candidate(dict(row["params"]), place / len(rows), row["view"].removesuffix(PSEUDO)))
        for place, row in enumerate(rows)
    )
