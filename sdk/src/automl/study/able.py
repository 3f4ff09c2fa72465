"""Which learners can take part in a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from automl_core import AutoMLError

if TYPE_CHECKING:
    from automl_core import Learner

__all__ = ["able_learners"]


def able_learners(learners: Mapping[str, Learner], *, task: str, objective: str) -> dict[str, Learner]:
    """Return the learners that do the task, and can learn the quantile where one is asked for.

    Means are left out of a study of a quantile, as no weights would make one of the other; a median is what
    `absolute_error` asks for, and a mean is near enough to take part.

    Raises:
        AutoMLError: none is left.
    """
    able = {name: learner for name, learner in learners.items() if task in learner.tasks}
    if not able:
        raise AutoMLError(f"none of the learners {', '.join(learners)} can do {task}.")
    word = objective.partition(":")[0]
    if word != "quantile":
        return able
    able = {name: learner for name, learner in able.items() if word in learner.objectives}
    if not able:
        raise AutoMLError(
            f"none of the learners {', '.join(learners)} can learn a quantile: name lightgbm, for instance."
        )
    return able
