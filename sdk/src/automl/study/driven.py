"""A study whose search drives itself: it evaluates trials where it likes, and what comes back joins the study."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import Metric
from automl.study.frame import Fitted, Frame, Here, Order, common_rounds, fit_part, settle
from automl.study.journal import trial_key, trial_seed
from automl.study.loop import ANCHOR_SHARE, SEARCH_RANK, Loop
from automl.study.members import Proposal
from automl.study.views import BASE, Recipe
from automl_core import Candidate, Drives, Learner, Search, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FoldByFold", "run_driven"]


@dataclass(frozen=True, slots=True, eq=False)
class FoldByFold:
    """Evaluates a trial fold by fold, wherever it is called: `automl_core.Evaluate`. Picklable.

    Its state is nothing until the last fold, then the list of `Fitted`.

    Attributes:
        views: of trials by id, where they are not on the encoded table. recipes: of these views.
        until: seconds since the epoch when the search ends, and seconds that a fit may take; None without a limit.
    """

    frame: Frame
    learners: Mapping[str, Learner]
    metric: Metric
    views: Mapping[int, str]
    recipes: Mapping[str, Recipe]
    until: float | None = None
    seconds: float | None = None

    def __call__(self, trial: Trial) -> Iterator[tuple[list[Fitted] | None, float]]:
        order, shared = self._order(trial), Here(self.frame)
        fits: list[Fitted] = []
        losses: list[float] = []
        for part in range(len(self.frame.splits)):
            order = replace(order, part=part, seconds=self._allowance())
            fits.append(fit_part(shared, order))
            losses.append(self._loss(fits[-1]))
            if len(fits) < len(self.frame.splits):
                yield None, float(np.mean(losses))
        rounds = common_rounds(fits, len(self.frame.data.target))
        yield fits if rounds is None else settle(shared, fits, order, rounds), float(np.mean(losses))

    def _order(self, trial: Trial) -> Order:
        view = self.views.get(trial.id, BASE)
        return Order(
            trial=trial.id,
            part=0,
            learner=self.learners[trial.learner],
            params=trial.params,
            view=view,
            recipe=self.recipes[view],
            seed=trial_seed(self.frame.seed, trial_key(trial.learner, trial.params, view)),
            # How schedulers of clusters say how many cores a task has; this process may see all of the machine.
            threads=int(os.environ.get("OMP_NUM_THREADS") or 1),
        )

    def _allowance(self) -> float | None:
        if self.until is None or self.seconds is None:
            return None
        # By the clock of another machine: what it is wrong by is lost, or cut off with the search.
        return max(min(0.93 * (self.until - time.time()), self.seconds), 0.05)

    def _loss(self, fit: Fitted) -> float:
        rows, weight = self.frame.splits[fit.part].valid, self.frame.data.weight
        prediction = np.asarray(fit.prediction)
        return self.metric.loss(self.frame.data.target[rows], prediction, None if weight is None else weight[rows])


def run_driven(loop: Loop, search: Drives) -> None:
    """Let the search run the proposals of the loop, then its own, and take what ends into the loop.

    What an earlier run finished is not evaluated again. Where nothing comes back in time, the proposals stay with the
    loop.
    """
    _take_restored(loop, search)
    first = dict(enumerate(loop.proposals))
    if loop.clock.search_left > 0:
        _drive(loop, search, first)
    if any(member.fits for member in loop.members):
        loop.proposals = []
    else:
        _take_parts(loop)


def _drive(loop: Loop, search: Drives, first: Mapping[int, Proposal]) -> None:
    limit = None if loop.max_trials is None else loop.max_trials - len(loop.members)
    if limit is not None and limit < 1:
        return
    driven = search.drive(
        _make_evaluate(loop, first),
        steps=len(loop.frame.splits),
        seconds=None if loop.clock.limit is None else loop.clock.search_left,
        first=[Trial(n, p.learner, dict(p.candidate.params), origin="portfolio") for n, p in first.items()],
        trials=limit,
    )
    try:
        for trial, fits in driven:
            _take(loop, trial, first.get(trial.id), fits)
            if loop.clock.search_left <= 0:
                return
    finally:
        # What still runs there may take its time to end, and nobody waits for it.
        Thread(target=_close, args=(driven,), name="automl-driven", daemon=True).start()


def _make_evaluate(loop: Loop, first: Mapping[int, Proposal]) -> FoldByFold:
    views = {number: proposal.candidate.view for number, proposal in first.items()}
    limit, left = loop.clock.limit, loop.clock.search_left
    return FoldByFold(
        loop.frame,
        loop.learners,
        loop.metric,
        views,
        {view: loop.recipe(view) for view in {BASE, *views.values()}},
        until=None if limit is None else time.time() + left,
        seconds=None if limit is None else ANCHOR_SHARE * limit / len(loop.frame.splits),
    )


def _take(loop: Loop, trial: Trial, proposal: Proposal | None, fits: Sequence[Fitted] | None) -> None:
    """Make a member of a trial that ended."""
    if proposal is not None:
        member = loop.open_member(proposal.learner, proposal.candidate, "portfolio")
    else:
        member = loop.open_member(trial.learner, Candidate(dict(trial.params), SEARCH_RANK, BASE), "search")
    member.waiting = []
    if trial.state != TrialState.COMPLETE or fits is None:
        loop.end(member, trial.state, error=trial.error, seconds=trial.seconds)
        return
    loop.complete(member, [loop.keep(member, fit) for fit in fits])


def _take_restored(loop: Loop, search: Drives) -> None:
    """Take what an earlier run finished, and tell the search of it."""
    whole = {key for key, parts in loop.restored.items() if len(parts) == len(loop.frame.splits)}
    proposals, loop.proposals = loop.proposals, []
    for proposal in proposals:
        if trial_key(proposal.learner, proposal.candidate.params, proposal.candidate.view) in whole:
            loop.restore(loop.open_member(proposal.learner, proposal.candidate, "portfolio"))
        else:
            loop.proposals.append(proposal)
    for trial in loop.searched:
        if trial.learner not in loop.learners:
            continue
        done = trial_key(trial.learner, trial.params, BASE) in whole
        if trial.state == TrialState.COMPLETE and not done:
            continue  # its fits are lost, or of another view
        if done:
            loop.restore(loop.open_member(trial.learner, Candidate(dict(trial.params), SEARCH_RANK, BASE), "search"))
        else:
            _take(loop, trial, None, None)
    if isinstance(search, Search):
        for member in loop.members:
            search.tell(replace(member.trial, id=-1 - member.trial.id))


def _take_parts(loop: Loop) -> None:
    """Take the first fit of the study, which the plan was made from, rather than have no answer."""
    for proposal in loop.proposals:
        if trial_key(proposal.learner, proposal.candidate.params, proposal.candidate.view) in loop.restored:
            loop.restore(loop.open_member(proposal.learner, proposal.candidate, "portfolio"))
            loop.proposals.remove(proposal)
            return


def _close(driven: Any) -> None:
    driven.close()
