"""The search: which fit comes next, what became of it, and when it is over."""

from __future__ import annotations

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import Metric
from automl.study.dialogue import Dialogue
from automl.study.frame import Fitted, Frame, Order, common_rounds, fit_part, settle
from automl.study.journal import trial_key, trial_seed
from automl.study.members import ANCHOR_RANK, Member, Proposal, fold_losses, is_hopeless, refit_part, refit_seconds
from automl.study.plan import SMALL_ROWS
from automl.study.views import BASE
from automl_core import AutoMLError, Candidate, Executor, Learner, Search, Shared, Trial, TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.study.clock import Clock
    from automl.study.plan import Plan
    from automl.study.views import Recipe

__all__ = ["Loop"]

ANCHOR_SHARE, TRIAL_SHARE = 0.4, 0.25  # of the time limit, that all fits of one trial may take together
PATIENCE = 1.5  # times the seconds that a fit was given, plus HANG_SECONDS, after which it counts as hung
HANG_SECONDS = 5.0
SEARCH_FITS = 15  # the search starts where it can afford so many trials
SEARCH_RANK = 100.0
CUT_SHORT = 0.6  # of the seconds that its fits would take, from which on a trial is worth ending them early
log = logging.getLogger("automl.study")


@dataclass(slots=True)
class _Flight:
    order: Order
    member: Member
    started: float
    settling: bool = False


class Loop:
    """Runs trials on an executor until time, candidates or the number of trials run out.

    Args:
        tell: called with each trial as it starts (running) and ends; it journals and notifies.
        keep: called with (member, fitted) for every fitted part before it counts; returns the part that counts.
    """

    def __init__(
        self,
        *,
        frame: Frame,
        shared: Shared[Frame],
        executor: Executor,
        plan: Plan,
        clock: Clock,
        metric: Metric,
        learners: Mapping[str, Learner],
        recipe: Callable[[str], Recipe],
        tell: Callable[[Member], None],
        keep: Callable[[Member, Fitted], Fitted],
        max_trials: int | None = None,
    ) -> None:
        self.frame, self.shared, self.executor = frame, shared, executor
        self.plan, self.clock, self.metric = plan, clock, metric
        self.learners, self.recipe = learners, recipe
        self.tell, self.keep = tell, keep
        self.max_trials = max_trials
        self.members: list[Member] = []
        self.proposals: list[Proposal] = []
        self.restored: dict[str, dict[int, Fitted]] = {}
        self.searched: Sequence[Trial] = ()
        self.search: Search | None = None
        self._flights: dict[Future[Any], _Flight] = {}
        self._open: list[tuple[float, int, Member]] = []
        self._slots = plan.slots
        self._cost: dict[str, list[float]] = {}
        self._dear: list[Proposal] = []
        self._best: dict[str, Member] = {}
        self._timed = clock.limit is not None
        self._dialogue = Dialogue(timed=self._timed)

    # ---- the loop

    def run(self) -> None:
        """Run to the end; what still runs then is left to itself."""
        try:
            self._take_back()
            while True:
                self._fill()
                if not self._flights:
                    return
                self._collect(self._flights.keys())
                if self.clock.search_left <= 0 and self._all_late():
                    return
        finally:
            for future in self._flights:
                future.cancel()
            self._flights.clear()
            for member in self.members:
                if member.trial.state == TrialState.RUNNING:
                    self.end(member, TrialState.PRUNED, error="the time was up")

    def _take_back(self) -> None:
        """Take what an earlier run fitted before anything else is: the time may not suffice to come to it in turn.

        Without a clock it is taken in its turn, so that all is as if there had been one run.
        """
        if not self._timed or not self.restored:
            return
        proposals, self.proposals = self.proposals, []
        for proposal in proposals:
            candidate = proposal.candidate
            if trial_key(proposal.learner, candidate.params, candidate.view) in self.restored:
                self.restore(self.open_member(proposal.learner, candidate, "portfolio"))
            else:
                self.proposals.append(proposal)
        views = {BASE, *(proposal.candidate.view for proposal in proposals)}
        for trial in self.searched:
            for view in views:
                if trial_key(trial.learner, trial.params, view) in self.restored:
                    candidate = Candidate(dict(trial.params), SEARCH_RANK, view)
                    self.restore(self.open_member(trial.learner, candidate, "search"))

    def _fill(self) -> None:
        while len(self._flights) < self._slots and self.clock.search_left > 0:
            if not self._submit_next():
                return

    def _collect(self, futures: Iterable[Future[Any]]) -> None:
        timeout = min(max(self.clock.search_left, 0.05), 1.0)
        done, _ = wait(list(futures), timeout=timeout, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda f: (self._flights[f].order.trial, self._flights[f].order.part)):
            self._land(self._flights.pop(future), future)
        for future, flight in list(self._flights.items()):
            given = flight.order.seconds
            if given is not None and time.monotonic() - flight.started > PATIENCE * given + HANG_SECONDS:
                del self._flights[future]
                if not future.cancel():
                    self._slots = max(1, self._slots - 1)
                self.fail(flight.member, f"hung: no answer after {given:.0f} s and {HANG_SECONDS:.0f} s of grace")

    def _all_late(self) -> bool:
        """Whether all that is in flight was told to stop already, and has had its moment to do so.

        As long as there is no answer, the time kept back for the end is better spent on waiting for one.
        """
        if not any(member.fits for member in self.members):
            return self.clock.left < 0.1 * self.clock.reserve
        return self.clock.search_left < -min(1.0, 0.5 * max(self.clock.reserve, 0.1))

    def adopt(self, proposal: Proposal, fitted: Fitted) -> None:
        """Take a part that was fitted before the loop began for a trial of its own."""
        member = self.open_member(proposal.learner, proposal.candidate, "portfolio")
        member.waiting = []
        self.complete(member, [fitted])

    # ---- what comes next

    def _submit_next(self) -> bool:
        while self._open:
            _, _, member = self._open[0]
            if not member.waiting or member.trial.state != TrialState.RUNNING:
                heapq.heappop(self._open)
                continue
            if not self._affordable(member):
                self.end(member, TrialState.PRUNED, error="no time left for its other folds")
                continue
            self._submit(member, member.waiting.pop(0))
            return True
        fresh = self._next_member()
        if fresh is None:
            return False
        if self.restore(fresh):
            return True
        self._submit(fresh, fresh.waiting.pop(0))
        # Without a clock the order must not depend on which fit is faster: all folds at once.
        if not self._timed or fresh.rank < ANCHOR_RANK or fresh.hurried:
            self._push(fresh)
        return True

    def _push(self, member: Member) -> None:
        heapq.heappush(self._open, (member.rank, member.trial.id, member))

    def _affordable(self, member: Member) -> bool:
        if not self._timed or not member.fits:
            return True
        each = max(fit.seconds + fit.predict_seconds for fit in member.fits.values())
        rounds = -(-(len(member.waiting) + member.running) // self._slots)
        return rounds * each <= self.clock.search_left

    def _next_member(self) -> Member | None:
        if self.max_trials is not None and len(self.members) >= self.max_trials:
            return None
        while self.proposals:
            if self._must_wait(self.proposals[0].candidate.view):
                return None
            proposal = self.proposals.pop(0)
            if self._expected(proposal) > self.clock.search_left:
                self._dear.append(proposal)
                continue
            return self.open_member(proposal.learner, proposal.candidate, "portfolio")
        return self._ask() or self._hurry()

    def _must_wait(self, view: str) -> bool:
        """Tell whether trials that decide what a new view derives, without a clock all before it, are still out."""
        if self._timed or view == BASE or any(member.view == view for member in self.members):
            return False
        return any(0 not in m.fits for m in self.members if m.view == BASE and m.trial.state == TrialState.RUNNING)

    def _expected(self, proposal: Proposal) -> float:
        """Return the seconds that a trial would take by what the learner's others did; 0 where there was none."""
        each = float(np.mean(self._cost.get(proposal.learner, [0.0])))
        return each * (1 if self.plan.folds == 1 else self.plan.folds / self._slots)

    def _hurry(self) -> Member | None:
        """Open what would take longer than there is time, but not much: its fits are ended early, one trial at a time."""
        if any(member.hurried and member.trial.state == TrialState.RUNNING for member in self.members):
            return None
        while self._dear:
            proposal = self._dear.pop(0)
            if CUT_SHORT * self._expected(proposal) <= self.clock.search_left:
                member = self.open_member(proposal.learner, proposal.candidate, "portfolio")
                member.hurried = True
                return member
        return None

    def _ask(self) -> Member | None:
        if self.search is None or not self._worth_searching():
            return None
        trial = self._dialogue.ask(self.search)
        if trial is None:
            return None
        best = self._best.get(trial.learner)
        candidate = Candidate(dict(trial.params), SEARCH_RANK, best.view if best else BASE)
        return self.open_member(trial.learner, candidate, "search", trial.id)

    def _worth_searching(self) -> bool:
        if self.search is None or self.search.exhausted:
            return False
        if not self._timed or any(member.trial.origin == "search" for member in self.members):
            return True
        costs = [member.seconds for member in self.members if member.trial.state == TrialState.COMPLETE]
        return bool(costs) and float(np.median(costs)) * SEARCH_FITS <= self.clock.search_left * self._slots

    def open_member(self, learner: str, candidate: Candidate, origin: str, asked: int | None = None) -> Member:
        number = len(self.members)
        view = candidate.view
        key = trial_key(learner, candidate.params, view)
        trial = Trial(number, learner, dict(candidate.params), trial_seed(self.frame.seed, key), origin=origin)
        member = Member(trial, view, self.recipe(view), candidate.rank, key, waiting=list(range(self.plan.folds)))
        self.members.append(member)
        self._dialogue.add(member, asked)
        self.tell(member)
        return member

    def restore(self, member: Member) -> bool:
        """Take the parts that an earlier run of this study fitted; tell whether there were any."""
        parts = self.restored.pop(member.key, {})
        if not parts:
            return False
        member.fits.update(parts)
        member.waiting = [part for part in member.waiting if part not in parts]
        if member.waiting:
            self._push(member)
        else:
            self._finish(member, self._order(member, self.plan.folds - 1))
        return True

    # ---- flights

    def _submit(self, member: Member, part: int) -> None:
        order = self._order(member, part)
        self._fly(member, order, self.executor.submit(fit_part, self.shared, order))

    def _order(self, member: Member, part: int) -> Order:
        return Order(
            trial=member.trial.id,
            part=part,
            learner=self.learners[member.trial.learner],
            params=member.trial.params,
            view=member.view,
            recipe=member.recipe,
            seed=member.trial.seed,
            threads=self.plan.threads,
            seconds=self._allowance(member),
        )

    def _allowance(self, member: Member) -> float | None:
        """Return the seconds that one fit may take, so that no trial spends the time of all others."""
        if self.clock.limit is None:
            return None
        if member.hurried:
            turns = -(-(len(member.waiting) + member.running + 1) // self._slots)
            return max(0.93 * self.clock.search_left / turns, 0.05)
        share = ANCHOR_SHARE if member.rank < ANCHOR_RANK else TRIAL_SHARE
        fair = share * self.clock.limit * min(self._slots, self.plan.folds) / self.plan.folds
        if self.plan.refit and len(self.frame.data.target) <= SMALL_ROWS:
            # Where rows are few, a model of all of them is better by more than longer training on a part brings.
            fair = min(fair, refit_part(self.plan, self.frame, member.view))
        # What follows a fit, its validation rows and its ride home, must not make it late.
        return max(min(0.93 * self.clock.search_left, fair), 0.05)

    def _fly(self, member: Member, order: Order, future: Future[Any], *, settling: bool = False) -> None:
        member.running += 1
        self._flights[future] = _Flight(order, member, time.monotonic(), settling)

    def _land(self, flight: _Flight, future: Future[Any]) -> None:
        member = flight.member
        member.running -= 1
        try:
            result = future.result()
        except (Exception, CancelledError, SystemExit) as error:  # a learner may even call sys.exit
            if isinstance(error, AutoMLError) and not isinstance(error, ValueError):
                raise
            self.fail(member, f"{type(error).__name__}: {error}")
            return
        if flight.settling:
            self.complete(member, result)
            return
        member.fits[result.part] = self.keep(member, result)
        if member.trial.state == TrialState.RUNNING:
            self._go_on(member, flight)

    def _go_on(self, member: Member, flight: _Flight) -> None:
        if len(member.fits) == 1:
            self._cost.setdefault(member.trial.learner, []).append(member.seconds)
        if not member.waiting and not member.running:
            self._finish(member, flight.order)
        elif len(member.fits) == 1 and member.waiting:
            if self._timed and is_hopeless(member, self.members, self.frame):
                self.end(member, TrialState.PRUNED, error="its first fold is worse than what there is")
            else:
                self._push(member)

    def _finish(self, member: Member, order: Order) -> None:
        fits = sorted(member.fits.values(), key=lambda fit: fit.part)
        rounds = common_rounds(fits, len(self.frame.data.target))
        if rounds is None:
            self.complete(member, fits)
        else:
            future = self.executor.submit(settle, self.shared, fits, order, rounds)
            self._fly(member, order, future, settling=True)

    # ---- ends

    def complete(self, member: Member, fits: Sequence[Fitted]) -> None:
        member.fits = {fit.part: fit for fit in fits}
        rows, member.prediction = self.collect(member)
        target, weight = self.frame.data.target[rows], self.frame.data.weight
        loss = self.metric.loss(target, member.prediction, None if weight is None else weight[rows])
        if not np.isfinite(loss):
            self.fail(member, f"its {self.metric.name} is {loss}")
            return
        rounds = [fit.model.rounds for fit in fits if fit.model.rounds is not None]
        self.end(member, TrialState.COMPLETE, loss=loss, rounds=round(np.mean(rounds)) if rounds else None)

    def collect(self, member: Member) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the validation rows of all fitted parts, and what was predicted for them."""
        fits = sorted(member.fits.values(), key=lambda fit: fit.part)
        rows = np.concatenate([self.frame.splits[fit.part].valid for fit in fits])
        order = np.argsort(rows, kind="stable")
        return rows[order], np.concatenate([fit.prediction for fit in fits if fit.prediction is not None])[order]

    def fail(self, member: Member, reason: str) -> None:
        if member.trial.state == TrialState.RUNNING:
            log.debug("trial %d of %s failed: %s", member.trial.id, member.trial.learner, reason)
            self.end(member, TrialState.FAILED, error=reason)

    def end(self, member: Member, state: TrialState, **changes: Any) -> None:
        member.waiting, member.ended = [], self.clock.elapsed
        told = {"seconds": member.seconds, "fold_losses": fold_losses(member, self.frame, self.metric)}
        member.trial = member.trial.with_result(state, **(told | changes))
        if member.trial.loss is not None:
            mine = self._best.setdefault(member.trial.learner, member)
            self._best[member.trial.learner] = min(mine, member, key=lambda one: (one.trial.loss, one.trial.id))
        if self._timed and self.plan.refit and state == TrialState.COMPLETE:
            done = [one for one in self.members if one.trial.state == TrialState.COMPLETE]
            self.clock.reserve = self.plan.reserve_for([refit_seconds(one, self.frame) for one in done])
        self.tell(member)
