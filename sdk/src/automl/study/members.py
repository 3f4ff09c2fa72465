"""A trial of a study and the parts of it that are fitted, and whether more of them are worth it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from automl.metrics import row_losses
from automl.study.frame import WHOLE
from automl.study.plan import REFIT_ROOM
from automl.study.views import BASE
from automl_core import Candidate, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.study.frame import Fitted, Frame
    from automl.study.plan import Plan
    from automl.study.views import Recipe

__all__ = [
    "ANCHOR_RANK",
    "Member",
    "Proposal",
    "fold_losses",
    "is_hopeless",
    "refit_part",
    "refit_seconds",
    "train_share",
]

ANCHOR_RANK = 10.0  # candidates below it belong in every ensemble and are not raced
REFIT_DOUBT = 1.1  # times what a refit takes by its rows


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate of a learner, before it becomes a trial."""

    learner: str
    candidate: Candidate

    def on_base(self) -> Proposal:
        """Return the same on the encoded table."""
        return replace(self, candidate=replace(self.candidate, view=BASE))


@dataclass(slots=True)
class Member:
    """A trial and the parts of it that are fitted."""

    trial: Trial
    view: str
    recipe: Recipe
    rank: float
    key: str  # what its fits depend on, see `trial_key`
    fits: dict[int, Fitted] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    running: int = 0
    prediction: NDArray[np.float32] | None = None
    ended: float | None = None  # seconds since the study's start
    barred: bool = False  # from the ensemble
    hurried: bool = False  # its fits share what time is left, instead of each taking what it would

    @property
    def seconds(self) -> float:
        return sum(fit.seconds for fit in self.fits.values())


def train_share(frame: Frame, view: str = BASE) -> float:
    """Return the share of rows that a part is fitted on."""
    return float(len(frame.train(0, view)) / len(frame.train(WHOLE, view)))


def refit_seconds(member: Member, frame: Frame) -> float:
    """Estimate what fitting a member on all rows takes, from its slowest part."""
    return REFIT_DOUBT * max(fit.seconds for fit in member.fits.values()) / train_share(frame, member.view)


def refit_part(plan: Plan, frame: Frame, view: str = BASE) -> float:
    """Return the seconds of a part up to which the plan has time to fit its member on all rows."""
    return REFIT_ROOM * plan.refit_seconds * train_share(frame, view) / REFIT_DOUBT


def is_hopeless(member: Member, members: Sequence[Member], frame: Frame) -> bool:
    """Tell whether the first fold is surely worse than the best member's, and worse than the median of all.

    Paired by row: a difference counts from two standard errors on.
    """
    if member.rank < ANCHOR_RANK:
        return False
    first = next(iter(member.fits.values()))
    rivals = [
        m for m in members
        if m.trial.state == TrialState.COMPLETE and first.part in m.fits and m.trial.id < member.trial.id
    ]  # fmt: skip
    if len(rivals) < 3:
        return False
    target = frame.data.target[frame.splits[first.part].valid]
    mine = _losses(target, first)
    theirs = sorted((_losses(target, m.fits[first.part]) for m in rivals), key=lambda losses: float(losses.mean()))
    if mine.mean() <= theirs[len(theirs) // 2].mean():
        return False
    difference = mine - theirs[0]
    return bool(difference.mean() > 2 * difference.std() / np.sqrt(len(difference)))


def fold_losses(member: Member, frame: Frame, metric: Metric) -> tuple[float | None, ...]:
    """Return the loss of each part alone, by its number; empty for a metric that may not take so few rows."""
    if metric.foreign:
        return ()
    return tuple(_fold_loss(member.fits.get(part), frame, metric) for part in range(max(member.fits, default=-1) + 1))


def _fold_loss(fit: Fitted | None, frame: Frame, metric: Metric) -> float | None:
    if fit is None or fit.prediction is None:
        return None
    rows, weight = frame.splits[fit.part].valid, frame.data.weight
    if weight is not None and not weight[rows].any():
        return None
    loss = metric.loss(frame.data.target[rows], fit.prediction, None if weight is None else weight[rows])
    return loss if np.isfinite(loss) else None


def _losses(target: NDArray[np.float64], fit: Fitted) -> NDArray[np.float64]:
    return row_losses(target, np.asarray(fit.prediction))
