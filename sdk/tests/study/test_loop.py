"""The loop on a clock that only fits move: each takes its seconds, or what it is allowed."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from automl.metrics import METRICS
from automl.study.clock import Clock
from automl.study.folds import make_splits
from automl.study.frame import Fitted, Frame, Here
from automl.study.loop import Loop
from automl.study.members import Proposal
from automl.study.plan import Plan
from automl.study.views import Recipe
from automl_core import REGRESSION, Candidate, Column, Data, TrialState
from automl_core.testing.fakes import ScriptedSearch

ROWS, FOLDS = 60, 3


class HandClock(Clock):
    now = 0.0

    @property
    def elapsed(self) -> float:
        return self.now


class Instant:
    """An executor whose fits take the seconds that their trial says, by the hand of the clock."""

    capacity = 1

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock

    def submit(self, _task, shared, order):
        seconds = min(order.params["seconds"], order.seconds)
        self.clock.now += seconds
        valid = shared.get().splits[order.part].valid
        noise = np.random.default_rng(order.trial).normal(size=len(valid)).astype(np.float32)
        future: Future[Fitted] = Future()
        future.set_result(Fitted(order.part, SimpleNamespace(rounds=None), np.arange(1), (), noise, seconds))
        return future


PLAN = Plan(FOLDS, 0.2, 1, 1, False, 0.0)


def run(limit: float, seconds: list[float], plan: Plan = PLAN) -> list[tuple[str, float]]:
    target = np.random.default_rng(0).normal(size=ROWS)
    data = Data(np.zeros((ROWS, 1), dtype=np.float32), (Column("x"),), target)
    splits = make_splits(target, classes=0, folds=plan.folds, seed=0, holdout=plan.holdout)
    frame, clock = Frame(data, splits, REGRESSION, 0, 0), HandClock(limit, 0.0)
    loop = Loop(
        frame=frame,
        shared=Here(frame),
        executor=Instant(clock),
        plan=plan,
        clock=clock,
        metric=METRICS["rmse"],
        learners={"given": None},
        recipe=lambda view: Recipe((0,)),
        tell=lambda member: None,
        keep=lambda member, fitted: fitted,
    )
    loop.proposals = [Proposal("given", Candidate({"seconds": each}, rank)) for rank, each in enumerate(seconds)]
    loop.run()
    assert clock.elapsed <= limit
    return [(member.trial.state, round(member.seconds, 1)) for member in loop.members]


def test_what_time_is_left_goes_to_a_trial_of_fits_that_end_early():
    *before, last = run(112, [10, 10, 10, 10, 10])
    assert before == [(TrialState.COMPLETE, 30.0)] * 3
    assert last == (TrialState.COMPLETE, pytest.approx(19, abs=1))


def test_no_part_takes_longer_than_there_is_time_to_fit_its_member_on_all_rows():
    plan = Plan(1, 0.2, 1, 1, refit=True, reserve=25.0, refit_seconds=25.0)
    (_, took), *_ = run(100, [60], plan)
    assert took * 1.1 / 0.8 == pytest.approx(0.8 * 25, abs=0.1)
    (_, took), *_ = run(100, [60], Plan(1, 0.2, 1, 1, refit=False, reserve=25.0))
    assert took == 40


def test_a_trial_that_would_have_little_of_its_time_is_not_begun():
    assert run(78, [10, 10, 10, 10]) == [(TrialState.COMPLETE, 30.0)] * 2


class Uneven:
    """An executor of two threads whose fits take their time by chance, but trial 2 until trial 5 is fitted."""

    capacity = 2

    def __init__(self, seed: int) -> None:
        self.pool, self.seed = ThreadPoolExecutor(2), seed
        self.fifth, self.went_on = Event(), False

    def submit(self, _task, shared, order):
        return self.pool.submit(self.fit, shared.get(), order)

    def fit(self, frame, order):
        time.sleep(np.random.default_rng((self.seed, order.trial)).uniform(0, 0.01))
        if order.trial == 2:
            self.went_on = self.fifth.wait(20)
        if order.trial == 5:
            self.fifth.set()
        valid = frame.splits[order.part].valid
        noise = np.random.default_rng(order.trial).normal(size=len(valid)).astype(np.float32)
        return Fitted(order.part, SimpleNamespace(rounds=None), np.arange(1), (), noise, 0.0)


class Curious(ScriptedSearch):
    """A search that writes down what it was told before each trial; from `patient` on it waits to know all."""

    def __init__(self, patient: int) -> None:
        super().__init__([("given", {"number": number}) for number in range(12)])
        self.patient, self.known = patient, []

    def ask(self, count=1, *, learner=None):
        if self._next >= self.patient and len(self.told) < self._next:
            return []
        self.known.append([trial.id for trial in self.told])
        return super().ask(count, learner=learner)


def search(seed: int, patient: int = 99) -> tuple[Curious, Uneven]:
    target = np.random.default_rng(0).normal(size=ROWS)
    data = Data(np.zeros((ROWS, 1), dtype=np.float32), (Column("x"),), target)
    splits = make_splits(target, classes=0, folds=1, seed=0, holdout=0.2)
    frame, executor, asked = Frame(data, splits, REGRESSION, 0, 0), Uneven(seed), Curious(patient)
    loop = Loop(
        frame=frame,
        shared=Here(frame),
        executor=executor,
        plan=Plan(1, 0.2, 2, 1, False, 0.0),
        clock=Clock(None, time.monotonic()),
        metric=METRICS["rmse"],
        learners={"given": None},
        recipe=lambda view: Recipe((0,)),
        tell=lambda member: None,
        keep=lambda member, fitted: fitted,
    )
    loop.search = asked
    with executor.pool:
        loop.run()
    return asked, executor


def test_without_a_clock_a_slow_trial_holds_nobody_and_sways_nothing():
    (asked, executor), (again, _) = search(1), search(2)
    assert executor.went_on
    assert asked.known == again.known == [list(range(max(0, number - 3))) for number in range(12)]


def test_search_that_waits_to_know_all_is_told_all():
    asked, _ = search(1, patient=8)
    assert asked.known[7:] == [list(range(4)), *(list(range(number)) for number in range(8, 12))]
