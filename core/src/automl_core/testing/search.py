"""What every search must do."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from statistics import median
from typing import ClassVar

import pytest

from automl_core.kinds import Search
from automl_core.powers import Drives
from automl_core.records import Trial, TrialState
from automl_core.space import Choice, Float, Int, Params, Space, When
from automl_core.testing.conformance import Conformance

__all__ = ["SearchConformance"]

SPACES = {
    "trees": Space(
        {
            "rate": Float(1e-3, 0.5, log=True),
            "share": Float(0.5, 1.0),
            "leaves": Int(4, 256, log=True),
            "depth": Int(1, 12),
            "growth": Choice(("leaf", "level", None)),
            "drop": Choice((True, False)),
            "drop_rate": Float(0.0, 0.5, when=When("drop", (True,))),
        }
    ),
    "linear": Space({"penalty": Float(1e-4, 1e4, log=True), "l1": Choice((0, 0.5, 1.0))}),
    "constant": Space(),
}
QUADRATIC = {"curve": Space({"x": Float(-5.0, 5.0), "y": Float(-5.0, 5.0)})}
BAD_RESULTS = {
    "failed": (TrialState.FAILED, None),
    "pruned": (TrialState.PRUNED, 0.5),
    "pruned-without-loss": (TrialState.PRUNED, None),
    "none": (TrialState.COMPLETE, None),
    "nan": (TrialState.COMPLETE, math.nan),
    "infinite": (TrialState.COMPLETE, math.inf),
    "negative-infinite": (TrialState.COMPLETE, -math.inf),
}


class SearchConformance(Conformance):
    """Override the fixture `search`, on which `begin` was not called yet.

    Attributes:
        model_based: learns from what it is told, and so beats random search on a smooth function.
        exhausts: ends by itself when a finite space is used up.
    """

    model_based: ClassVar[bool] = False
    exhausts: ClassVar[bool] = False

    @pytest.fixture
    def search(self) -> Search:
        raise NotImplementedError("override the fixture `search`")

    def test_asked_parameters_lie_in_the_space(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        for trial in _run(search, 40, _loss):
            _assert_inside(SPACES[trial.learner], trial.params)

    def test_parameters_are_plain_python_values(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        types = {type(value) for trial in _run(search, 40, _loss) for value in trial.params.values()}
        assert types <= {bool, int, float, str, type(None)}

    def test_ids_grow_from_zero(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        asked = [trial for count in (1, 3, 2) for trial in search.ask(count)]
        assert [trial.id for trial in asked] == list(range(len(asked)))
        assert len(asked) >= 1

    def test_asked_trials_are_running(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        assert {trial.state for trial in search.ask(3)} == {TrialState.RUNNING}

    def test_no_more_are_proposed_than_asked(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        assert all(len(search.ask(count)) <= count for count in (1, 2, 5))

    @pytest.mark.parametrize("learner", SPACES)
    def test_named_learner_is_proposed(self, search: Search, learner: str) -> None:
        search.begin(SPACES, seed=0)
        asked = [trial for _ in range(5) for trial in search.ask(1, learner=learner)]
        assert {trial.learner for trial in asked} == {learner}

    def test_same_seed_and_results_give_the_same_trials(self, search: Search) -> None:
        runs = []
        for _ in range(2):
            search.begin(SPACES, seed=7)
            runs.append([(trial.learner, trial.params) for trial in _run(search, 30, _loss)])
        assert runs[0] == runs[1]

    def test_another_seed_gives_other_trials(self, search: Search) -> None:
        runs = []
        for seed in (1, 2):
            search.begin(SPACES, seed=seed)
            runs.append([trial.params for trial in _run(search, 10, _loss)])
        assert runs[0] != runs[1]

    def test_results_may_come_in_any_order(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        for _ in range(5):
            for trial in reversed(search.ask(4)):
                search.tell(_finished(trial, _loss(trial)))
        _assert_goes_on(search)

    @pytest.mark.parametrize("result", BAD_RESULTS)
    def test_trial_without_a_good_loss_does_not_poison(self, search: Search, result: str) -> None:
        state, loss = BAD_RESULTS[result]
        search.begin(QUADRATIC, seed=0)
        for _ in range(25):
            _run(search, 1, _quadratic)
            for bad in search.ask(1):
                search.tell(bad.with_result(state, loss=loss, error="ValueError: no"))
        _assert_goes_on(search, QUADRATIC)

    def test_trial_that_was_not_asked_for_is_prior_knowledge(self, search: Search) -> None:
        search.begin(SPACES, seed=0)
        known: list[Params] = [{"rate": 0.1}, {}, SPACES["trees"].sample(Random(0))]
        for number, params in enumerate(known):
            foreign = Trial(1000 + number, "trees", params, origin="portfolio")
            search.tell(foreign.with_result(TrialState.COMPLETE, loss=0.1 * number))
        asked = search.ask(2)
        assert [trial.id for trial in asked] == list(range(len(asked)))
        _assert_goes_on(search)

    def test_it_does_not_change_what_it_is_given(self, search: Search) -> None:
        spaces = copy.deepcopy(SPACES)
        search.begin(spaces, seed=0)
        told = _run(search, 1, _loss)
        before = copy.deepcopy(told)
        _run(search, 5, _loss)
        assert (spaces, told) == (SPACES, before)

    def test_finite_space_comes_to_an_end(self, search: Search) -> None:
        if not self.exhausts:
            pytest.skip("this search goes on for ever")
        search.begin({"small": Space({"c": Choice((1, 2, 3)), "n": Int(0, 1)})}, seed=0)
        asked = _run(search, 100, _loss)
        assert search.exhausted
        assert list(search.ask(1)) == []
        assert len(asked) == len({tuple(sorted(trial.params.items())) for trial in asked}) == 6

    def test_endless_space_does_not_come_to_an_end(self, search: Search) -> None:
        search.begin(QUADRATIC, seed=0)
        _run(search, 10, _quadratic)
        assert not search.exhausted

    def test_it_beats_random_search_on_a_smooth_function(self, search: Search) -> None:
        if not self.model_based:
            pytest.skip("this search does not learn from results")
        best = []
        for seed in range(5):
            search.begin(QUADRATIC, seed=seed)
            best.append(min(_quadratic(trial) for trial in _run(search, 40, _quadratic)))
        assert median(best) < median(_best_of_random(40, seed) for seed in range(21))

    def test_driven_search_yields_finished_trials_and_ends_in_time(self, search: Search) -> None:
        if not isinstance(search, Drives):
            pytest.skip("this search is asked and told only")
        search.begin(QUADRATIC, seed=0)
        first = [Trial(7, "curve", {"x": 1.5, "y": -2.0})]
        driven = list(search.drive(evaluate_quadratic, steps=3, seconds=60, first=first, trials=5))
        assert len({trial.id for trial, _ in driven}) == len(driven) == 5
        for trial, state in driven:
            assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
            assert state == (trial.params if trial.state == TrialState.COMPLETE else None)
            _assert_inside(QUADRATIC["curve"], trial.params)
        (given,) = (trial for trial, _ in driven if trial.id == 7)
        assert (given.params, given.state, given.loss) == (first[0].params, TrialState.COMPLETE, 1 / 3)

    def test_driven_search_stops_when_it_is_closed(self, search: Search) -> None:
        if not isinstance(search, Drives):
            pytest.skip("this search is asked and told only")
        search.begin(QUADRATIC, seed=0)
        driven = search.drive(evaluate_quadratic, steps=3, seconds=None)
        assert len(list(islice(driven, 2))) == 2
        driven.close()  # type: ignore[attr-defined]
        assert list(driven) == []

    def test_driven_trial_that_fails_is_told(self, search: Search) -> None:
        if not isinstance(search, Drives):
            pytest.skip("this search is asked and told only")
        search.begin(QUADRATIC, seed=0)
        driven = list(search.drive(fail_beyond_zero, steps=3, seconds=60, trials=6))
        failed = [trial for trial, _ in driven if trial.state == TrialState.FAILED]
        assert len(driven) == 6
        assert 0 < len(failed) == sum(float(trial.params["x"] or 0) > 0 for trial, _ in driven)
        assert {trial.error for trial in failed} == {"ValueError: x is too great"}

    def test_close_may_be_called_twice(self, search: Search) -> None:
        with search as entered:
            assert entered is search
        search.close()


def evaluate_quadratic(trial: Trial) -> Iterator[tuple[Params, float]]:
    """Evaluate a trial in three steps; its state is its parameters."""
    for step in range(1, 4):
        yield trial.params, _quadratic(trial) + 1 / step


def fail_beyond_zero(trial: Trial) -> Iterator[tuple[Params, float]]:
    """Fail after the first step where x is positive."""
    for number, result in enumerate(evaluate_quadratic(trial)):
        if number and float(trial.params["x"] or 0) > 0:
            raise ValueError("x is too great")
        yield result


def _run(search: Search, count: int, loss: Callable[[Trial], float]) -> Sequence[Trial]:
    """Ask for trials one by one and tell each its loss; fewer where the search ends."""
    done: list[Trial] = []
    while len(done) < count and not search.exhausted:
        asked = search.ask(1)
        assert len(asked) == 1 or search.exhausted, "nothing was proposed, though nothing is running"
        for trial in asked:
            done.append(_finished(trial, loss(trial)))
            search.tell(done[-1])
    return done


def _finished(trial: Trial, loss: float) -> Trial:
    return trial.with_result(TrialState.COMPLETE, loss=loss, seconds=0.1)


def _loss(trial: Trial) -> float:
    return sum(len(str(value)) for value in trial.params.values()) / 100


def _quadratic(trial: Trial) -> float:
    return (float(trial.params["x"] or 0) - 1.5) ** 2 + (float(trial.params["y"] or 0) + 2.0) ** 2


def _best_of_random(count: int, seed: int) -> float:
    rng = Random(seed)
    return min(_quadratic(Trial(0, "curve", QUADRATIC["curve"].sample(rng))) for _ in range(count))


def _assert_inside(space: Space, params: Params) -> None:
    """Assert that there is a value inside its bounds for each dimension whose condition holds, and no other."""
    space.check(params)
    active = {name for name, dimension in space.items() if dimension.when is None or dimension.when.holds(params)}
    assert set(params) == active


def _assert_goes_on(search: Search, spaces: dict[str, Space] = SPACES) -> None:
    asked = _run(search, 10, _loss)
    assert len(asked) == 10
    for trial in asked:
        _assert_inside(spaces[trial.learner], trial.params)
