"""What a study is asked, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.study.finish import Shipment
    from automl.study.leaderboard import Leaderboard
    from automl.study.members import Proposal
    from automl.study.plan import Plan
    from automl_core import Data, Study

__all__ = ["Outcome", "Problem"]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What to study.

    Attributes:
        groups: int64 (rows,), rows of one group stay together. time: anything sortable (rows,).
        predict_time_limit: microseconds a row; None takes it from `quality`.
        start: what is fitted before the portfolios of the learners.
        curve: how the number of rows was chosen, for the record.
        unlabelled: float32 (rows, columns), more encoded rows, whose target is not known; None where there are none.
    """

    data: Data
    task: str
    classes: tuple[Any, ...]
    target: str
    metric: Metric
    seed: int = 0
    quality: str = "best"
    folds: int | None = None
    max_trials: int | None = None
    predict_time_limit: float | None = None
    groups: NDArray[np.int64] | None = None
    time: NDArray[Any] | None = None
    start: tuple[Proposal, ...] = ()
    curve: Mapping[str, Any] = field(default_factory=dict)
    unlabelled: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a study came to.

    Attributes:
        scores: in the metric's own direction: "out_of_fold" on the rows that chose the weights, "nested" on rows that
            did not, "best_single" of the best trial alone. Nested below out-of-fold tells how optimistic that one is.
        unlabelled: what became of the unlabelled rows, see `automl.study.pseudo`; empty where there were none.
        gangs: whether the workers of the executor can fit one model together.
    """

    study: Study
    shipment: Shipment
    leaderboard: Leaderboard
    plan: Plan
    seconds: float
    scores: Mapping[str, float]
    warnings: Sequence[str]
    interrupted: bool = False
    gangs: bool = False
    unlabelled: Mapping[str, Any] = field(default_factory=dict)
