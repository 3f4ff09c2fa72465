"""One study, from an encoded table to what is shipped."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.closing import close_aside
from automl.memory import free_memory
from automl.study.able import able_learners
from automl.study.driven import run_driven
from automl.study.finish import Shipment, finish, flatten, why_constant
from automl.study.folds import make_splits
from automl.study.frame import Fitted, Frame, Here, Order, fit_part
from automl.study.journal import Journal, trial_key
from automl.study.leaderboard import make_leaderboard
from automl.study.leaks import find_leaks
from automl.study.loop import Loop
from automl.study.members import Member, Proposal
from automl.study.plan import Plan, Shape, make_plan, plan_without_clock
from automl.study.problem import Outcome, Problem
from automl.study.pseudo import SecondRound
from automl.study.views import BASE, DERIVED, PSEUDO, Recipe, make_recipe
from automl_core import (
    AutoMLError,
    Candidate,
    Drives,
    Executor,
    Forest,
    Gangs,
    Learner,
    Plugins,
    Portfolio,
    Search,
    Shared,
    Shares,
    Study,
    Tracker,
    TrialState,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.study.clock import Clock

__all__ = ["run_study"]

LAST_WAIT = 1.0  # seconds for the only model there may be, even if the time is over
PROBE_SHARE = 0.1  # of the time limit, for the first fit of one fold, which the plan follows from
REFIT_LIMITS = {"fast": 30.0, "balanced": 200.0, "best": 1000.0}
IMPORT_SECONDS = 3.0
RESUMED_SHARE = 0.8  # of the time limit, that earlier runs may have used up at most: the end takes its time too
log = logging.getLogger("automl.study")
Files = Callable[[Outcome, Path], Sequence[Path]]


def run_study(
    problem: Problem,
    plugins: Plugins,
    clock: Clock,
    *,
    threads: int,
    optimizer: Search | None = None,
    files: Files | None = None,
) -> Outcome:
    """Run one study with the components that the settings select.

    Args:
        files: writes into a folder what trackers shall keep of the outcome, and returns the files.

    Raises:
        PluginError, SettingsError, ComponentUnavailable: a selected component cannot be had.
    """
    settings = plugins.settings
    learners = able_learners(
        plugins.build_all("learner", settings.learners), task=problem.task, objective=problem.metric.objective
    )
    executor: Executor = plugins.build("executor", settings.executor)
    try:
        with plugins.build("storage", settings.storage) as storage:
            runner = _Runner(problem, plugins, clock, learners, executor, threads, optimizer)
            runner.files = files
            runner.journal = Journal(storage, runner.study)
            if clock.limit is not None:
                clock.started -= min(runner.journal.elapsed, RESUMED_SHARE * clock.limit)
            return runner.run()
    finally:
        close_aside(executor)


class _Runner:
    def __init__(
        self,
        problem: Problem,
        plugins: Plugins,
        clock: Clock,
        learners: Mapping[str, Learner],
        executor: Executor,
        threads: int,
        optimizer: Search | None,
    ) -> None:
        self.optimizer = optimizer
        self.problem, self.plugins, self.clock = problem, plugins, clock
        self.learners, self.executor, self.threads = learners, executor, threads
        self.journal: Journal
        self.files: Files | None = None
        self.study = self._describe()
        self._gains: dict[int, NDArray[np.float64]] = {}  # by column, from the first part of a trial
        self._recipes: dict[str, Recipe] = {}
        self._late: Future[Fitted] | None = None
        self._trackers: dict[str, Tracker] = {}

    # ---- phases

    def run(self) -> Outcome:
        error: BaseException | None = None
        self._start_trackers()
        try:
            outcome = self._run()
            self._hand_over(outcome)
            return outcome
        except BaseException as raised:
            error = raised
            raise
        finally:
            self.plugins.emit("automl_study_finished", study=self.study, error=error)
            self._each_tracker(lambda tracker: tracker.finish(error))
            for tracker in self._trackers.values():
                tracker.close()

    def _run(self) -> Outcome:
        proposals = self._proposals()
        plan, frame, shared, probed = self._plan(proposals)
        self.plugins.emit("automl_study_started", study=self.study)
        loop = Loop(
            frame=frame, shared=shared, executor=self.executor, plan=plan, clock=self.clock, metric=self.problem.metric,
            learners=self.learners, recipe=self._recipe, tell=self._tell, keep=self._keep,
            max_trials=self.problem.max_trials,
        )  # fmt: skip
        loop.proposals, first = list(proposals), proposals[:1]
        loop.restored, self._gains = self.journal.restore(self.learners), self.journal.gains
        loop.searched = self.journal.searched()
        self.journal.begin(plan)
        if probed is not None:
            self._use_probe(loop, first[0], probed)
        search, interrupted, more = self._search(), False, self.problem.unlabelled
        second = None if more is None else SecondRound(loop, more, self._share)
        try:
            if search is not None and isinstance(search, Drives):
                run_driven(loop, search)
            else:
                loop.search = search
            loop.run()
            if self._late is not None:
                self._use_late_probe(loop, first[0], self._late)
            if second is not None:
                second.run()
        except KeyboardInterrupt:
            interrupted = True
            log.warning("interrupted: the best of what is fitted is kept; once more ends at once")
        told = {} if second is None else second.decide()
        shipment = finish(
            loop, self.problem.metric, seed=self.problem.seed, predict_time_limit=self._predict_limit(),
        )  # fmt: skip
        leaderboard = make_leaderboard(loop, shipment, self.problem.metric)
        self.journal.finish()
        leaks = find_leaks(self.problem.data, len(self.problem.classes), seed=self.problem.seed)
        warnings = [*why_constant(loop, shipment), *leaks]
        scores = self._scores(shipment, loop)
        gangs = isinstance(self.executor, Gangs)
        return Outcome(
            self.study, shipment, leaderboard, plan, self.clock.elapsed, scores, warnings, interrupted, gangs, told
        )

    def _use_probe(self, loop: Loop, first: Proposal, probed: Fitted) -> None:
        """Take the probe for the first trial's first part, or, cut short by its limit, for a trial of its own."""
        candidate = first.candidate
        if candidate.view == BASE:
            self._weigh(0, probed)
        if probed.seconds < 0.9 * PROBE_SHARE * (self.clock.limit or math.inf):
            key = trial_key(first.learner, candidate.params, candidate.view)
            loop.restored.setdefault(key, {}).setdefault(0, probed)
        elif loop.plan.folds == 1:
            loop.adopt(first, probed)

    def _use_late_probe(self, loop: Loop, first: Proposal, late: Future[Fitted]) -> None:
        """Have a model that took longer than a probe may, rather than none."""
        if loop.plan.folds > 1 or any(member.trial.state == TrialState.COMPLETE for member in loop.members):
            return
        if wait([late], timeout=max(self.clock.left, LAST_WAIT)).done and late.exception() is None:
            loop.adopt(first, late.result())

    def _scores(self, shipment: Shipment, loop: Loop) -> dict[str, float]:
        to_score, found = self.problem.metric.to_score, shipment.ensemble
        if found is None:
            return {}
        singles = [member.trial.loss for member in loop.members if member.trial.loss is not None]
        scores = {"out_of_fold": float(to_score(found.loss)), "nested": float(to_score(found.nested))}
        return scores | ({"best_single": float(to_score(min(singles)))} if singles else {})

    def _describe(self) -> Study:
        problem, settings = self.problem, self.plugins.settings
        return Study(
            id=Journal.identify(problem, settings, self.learners, timed=self.clock.limit is not None),
            task=problem.task,
            metric=problem.metric.name,
            rows=len(problem.data.target),
            columns=len(problem.data.columns),
            seed=problem.seed,
            folds=problem.folds or 0,
            target=problem.target,
            classes=tuple(str(label) for label in problem.classes),
            learners=tuple(self.learners),
            time_limit=self.clock.limit,
            settings={"data": problem.data.key, **({"sample_curve": problem.curve} if problem.curve else {})},
        )

    # ---- what to try

    def _proposals(self) -> list[Proposal]:
        data, task = self.problem.data, self.problem.task
        found = [proposal for proposal in self.problem.start if proposal.learner in self.learners]
        for name, learner in self.learners.items():
            need = learner.memory(task, len(data.target), len(data.columns), len(self.problem.classes))
            if need > free_memory():
                log.warning("learner %s is left out: one fit needs about %.1f GB of memory", name, need / 1e9)
                continue
            if isinstance(learner, Portfolio):
                candidates: Iterable[Candidate] = learner.portfolio(task, len(data.target), data.columns)
            else:
                candidates = [Candidate({}, rank=5.0)]
            found += [Proposal(name, candidate) for candidate in candidates]
        found.sort(key=lambda proposal: proposal.candidate.rank)
        if any(column.monotone for column in data.columns):
            # What is derived from a monotone column would carry it past the constraint.
            found = [p.on_base() for p in found]
        elif not any(column.categories > 30 for column in data.columns):
            # Without a category of many levels this view is the encoded table once more.
            found = [p if p.candidate.view != "encoded" else p.on_base() for p in found]
        once: dict[str, Proposal] = {}
        for p in found:
            once.setdefault(trial_key(p.learner, p.candidate.params, p.candidate.view), p)
        return list(once.values())

    def _search(self) -> Search | None:
        if self.problem.quality == "fast" and self.optimizer is None:
            return None
        search: Search = self.optimizer or self.plugins.build("search", self.plugins.settings.search)
        spaces = {name: learner.space(self.problem.task) for name, learner in self.learners.items()}
        search.begin({name: space for name, space in spaces.items() if len(space)}, seed=self.problem.seed)
        return search

    def _recipe(self, view: str) -> Recipe:
        plain = view.removesuffix(PSEUDO)
        if plain not in self._recipes:
            # Of the first trial: without a clock, what is derived must not depend on which is faster.
            gains = self._gains[min(self._gains)] if self._gains else None
            self._recipes[plain] = make_recipe(plain, self.problem.data, len(self.problem.classes), gains)
        return self._recipes[plain]

    # ---- plan

    def _plan(self, proposals: Sequence[Proposal]) -> tuple[Plan, Frame, Shared[Frame], Fitted | None]:
        # An earlier run's parts belong to its splits, so that its plan is kept; it had its probe.
        earlier, shape = self.journal.plan, self._shape()
        kept = replace(shape, folds=earlier["folds"]) if earlier else shape
        if self.clock.limit is None:
            plan = plan_without_clock(kept)
            return plan, *self._frame(plan), None
        # The probe is the first fit of the plan that time would not change, so that it counts where that one is chosen.
        probe_plan = plan_without_clock(shape)
        frame, shared = self._frame(probe_plan)
        probed = None if earlier else self._probe(proposals, shared, probe_plan.threads)
        seconds = probed.seconds + probed.predict_seconds if probed else PROBE_SHARE * self.clock.limit
        plan = make_plan(kept, probe=seconds, time_limit=self.clock.limit)
        self.clock.reserve = plan.reserve
        log.info("plan: %s, %s", plan, "as before" if earlier else f"after a probe of {seconds:.2f} s")
        if probed is not None and self.clock.search_left <= 0:
            plan = replace(plan, folds=1)  # the probe is all that there was time for
        if plan.folds == 1:
            # The probe's part serves as the holdout, so that the probe counts.
            frame.splits = frame.splits[:1]
            return plan, frame, self._share(frame), probed
        if plan.folds == probe_plan.folds:
            return plan, frame, shared, probed
        return plan, *self._frame(plan), None

    def _shape(self) -> Shape:
        target = self.problem.data.target
        minority = len(target)
        if self.problem.classes:
            counts = np.bincount(target.astype(np.int64))
            minority = min((int(count) for count in counts if count > 1), default=2)
        if self.problem.groups is not None:
            minority = min(minority, len(np.unique(self.problem.groups)))
        if self.problem.time is not None:
            minority = min(minority, len(target) // 2 - 1)  # two rows each; the first ones judge nobody
        fast = self.problem.quality == "fast"
        return Shape(len(target), minority, self.executor.capacity, self.threads, self.problem.folds, refit=fast)

    def _frame(self, plan: Plan) -> tuple[Frame, Shared[Frame]]:
        problem = self.problem
        splits = make_splits(
            problem.data.target, classes=len(problem.classes), folds=plan.folds, seed=problem.seed,
            holdout=plan.holdout, groups=problem.groups, time=problem.time,
        )  # fmt: skip
        frame = Frame(problem.data, splits, problem.task, len(problem.classes), problem.seed, problem.metric.objective)
        return frame, self._share(frame)

    def _share(self, frame: Frame) -> Shared[Frame]:
        return self.executor.share(frame) if isinstance(self.executor, Shares) else Here(frame)

    def _probe(self, proposals: Sequence[Proposal], shared: Shared[Frame], threads: int) -> Fitted | None:
        if not proposals or self.clock.limit is None:
            return None
        first = proposals[0]
        order = Order(
            trial=0, part=0, learner=self.learners[first.learner], params=first.candidate.params,
            view=first.candidate.view, recipe=self._recipe(first.candidate.view), seed=self.problem.seed,
            threads=threads, seconds=PROBE_SHARE * self.clock.limit,
        )  # fmt: skip
        fitted: Fitted | None = None
        # The first fit of a process imports the library; a second one tells what the others will cost.
        for _ in range(2):
            future = self.executor.submit(fit_part, shared, order)
            done, _ = wait([future], timeout=max(0.3 * self.clock.limit, 0.1))
            if not done:
                self._late = future
                return None
            if (error := future.exception()) is not None:
                log.info("the probe failed: %s: %s", type(error).__name__, error)
                return None
            fitted = future.result()
            if fitted.seconds > IMPORT_SECONDS:
                return fitted
        return fitted

    def _predict_limit(self) -> float:
        return self.problem.predict_time_limit or REFIT_LIMITS[self.problem.quality]

    # ---- telling

    def _keep(self, member: Member, fitted: Fitted) -> Fitted:
        if member.view == BASE and (fitted.part == 0 or self.clock.limit is not None):
            self._weigh(member.trial.id, fitted)
        return self.journal.keep(member, fitted, self.learners[member.trial.learner], len(self.problem.data.columns))

    def _weigh(self, trial: int, fitted: Fitted) -> None:
        """Learn which columns matter, as long as nothing is derived from what is known of that."""
        if trial in self._gains or (self._gains and self.clock.limit is not None) or DERIVED in self._recipes:
            return
        columns = len(self.problem.data.columns)
        flat = flatten(fitted, columns)
        if isinstance(flat, Forest) and flat.gain is not None:
            inner = (flat.feature >= 0) & (flat.feature < columns)
            gains = np.bincount(flat.feature[inner], weights=flat.gain[inner], minlength=columns)
            self._gains[trial] = gains.astype(np.float64)
            self.journal.weigh(trial, self._gains[trial])

    def _tell(self, member: Member) -> None:
        trial = member.trial
        if trial.state == TrialState.RUNNING:
            self.plugins.emit("automl_trial_started", study=self.study, trial=trial)
            return
        self.journal.tell(trial)
        self.plugins.emit("automl_trial_finished", study=self.study, trial=trial)
        self._each_tracker(lambda tracker: tracker.log(trial))

    def _start_trackers(self) -> None:
        self._trackers = self.plugins.build_all("tracker", self.plugins.settings.trackers)
        self._each_tracker(lambda tracker: tracker.start(self.study))

    def _hand_over(self, outcome: Outcome) -> None:
        if not self._trackers or self.files is None:
            return
        with TemporaryDirectory() as folder:
            try:
                files = self.files(outcome, Path(folder))
            except AutoMLError as error:
                log.warning("trackers get no model of the study: %s", error)
                return
            self._each_tracker(lambda tracker: [tracker.artifact(file.name, file) for file in files])

    def _each_tracker(self, tell: Any) -> None:
        for name, tracker in self._trackers.items():
            try:
                tell(tracker)
            except Exception as error:
                if self.plugins.settings.strict:
                    raise
                log.warning("tracker %s: %s: %s", name, type(error).__name__, error)
