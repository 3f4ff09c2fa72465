from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from automl_core import Choice, Context, Float, Int, Params, Search, SettingsError, Space, Trial, TrialState, When
from automl_core.testing import PluginConformance, SearchConformance

pytest.importorskip("nevergrad")
pytest.importorskip("automl_nevergrad")
from automl_nevergrad.plugin import build_search
from automl_nevergrad.search import NevergradSearch
from automl_nevergrad.settings import NevergradSettings

ONE = {"one": Space({"x": Float(0, 1), "y": Float(0, 1)})}
TWO = {"good": Space({"x": Float(0, 1)}), "bad": Space({"x": Float(0, 1)})}


class TestPlugin(PluginConformance):
    plugin = "nevergrad"


class TestDefault(SearchConformance):
    model_based = True
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return NevergradSearch()


class TestSwarm(SearchConformance):
    """An optimizer that takes no result of a candidate that it did not ask for."""

    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return NevergradSearch("PSO")


def complete(trial: Trial, loss: float | None) -> Trial:
    return trial.with_result(TrialState.COMPLETE, loss=loss, seconds=1.0)


def distance(params: Params) -> float:
    return abs(float(params["x"] or 0) - 0.3) + abs(float(params["y"] or 0) - 0.9)


def test_unknown_optimizer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"OnePlusTwo.*Did you mean 'OnePlusOne'"):
        NevergradSearch("OnePlusTwo")
    with pytest.raises(SettingsError, match="OPTIMIZER"):
        build_search(Context("nevergrad", {"optimizer": "OnePlusTwo"}))


@pytest.mark.parametrize("optimizer", get_args(NevergradSettings.model_fields["optimizer"].annotation))
def test_every_optimizer_of_the_settings_proposes_several_at_a_time(optimizer: str) -> None:
    search = build_search(Context("nevergrad", {"optimizer": optimizer, "budget": 8}))
    search.begin(ONE, seed=0)
    for _ in range(6):
        asked = search.ask(3)
        assert len(asked) == 3
        for trial in reversed(asked):
            ONE["one"].check(trial.params)
            search.tell(complete(trial, distance(trial.params)))


def test_unknown_learner_is_refused_with_the_nearest_name() -> None:
    search = NevergradSearch()
    search.begin(TWO, seed=0)
    with pytest.raises(ValueError, match="Did you mean 'good'"):
        search.ask(1, learner="goood")


def test_better_learner_gets_more_trials_and_the_other_is_not_forgotten() -> None:
    search = NevergradSearch("RandomSearch")
    search.begin(TWO, seed=0)
    chosen: Counter[str] = Counter()
    for _ in range(60):
        (trial,) = search.ask(1)
        chosen[trial.learner] += 1
        search.tell(complete(trial, 0.1 if trial.learner == "good" else 0.9))
    assert chosen["good"] >= chosen["bad"] >= 15


def test_prior_knowledge_guides_the_first_proposals() -> None:
    search = NevergradSearch("DE", budget=200)
    found = []
    for known in (False, True):
        search.begin(ONE, seed=0)
        for number in range(60 if known else 0):
            params = {"x": 0.3 + number % 6 / 100, "y": 0.9 - number // 6 / 100}
            search.tell(complete(Trial(-1 - number, "one", params, origin="portfolio"), distance(params)))
        losses = []
        for _ in range(40):
            (trial,) = search.ask(1)
            losses.append(distance(trial.params))
            search.tell(complete(trial, losses[-1]))
        found.append(sum(losses) / len(losses))
    assert found[1] < found[0]


def test_configuration_that_was_told_is_not_proposed() -> None:
    search = NevergradSearch()
    search.begin({"small": Space({"c": Choice((1, True, "1")), "n": Int(0, 1)})}, seed=0)
    for option in (1, True):
        search.tell(complete(Trial(-1, "small", {"c": option, "n": 0}), 0.5))
    asked = [repr(trial.params) for trial in search.ask(10)]
    assert len(asked) == len(set(asked)) == 4
    assert search.exhausted


def test_partial_or_foreign_knowledge_is_left_out() -> None:
    space = Space({"drop": Choice((True, False)), "rate": Float(0, 1, when=When("drop", (True,)))})
    search = NevergradSearch()
    search.begin({"one": space}, seed=0)
    for params in ({"drop": False, "rate": 0.5}, {"unknown": 1}, {"drop": True, "rate": 7.0}, {"drop": "yes"}, {}):
        search.tell(complete(Trial(-1, "one", params), 0.5))
    search.tell(complete(Trial(-1, "elsewhere", {"drop": True}), 0.5))
    space.check(search.ask(1)[0].params)


def test_bounds_that_meet_and_single_options_need_no_optimizer() -> None:
    space = Space({"a": Float(0.1, 0.1), "b": Int(3, 3), "c": Choice((None,))})
    search = NevergradSearch()
    search.begin({"one": space}, seed=0)
    assert [trial.params for trial in search.ask(5)] == [{"a": 0.1, "b": 3, "c": None}]
    assert search.exhausted
