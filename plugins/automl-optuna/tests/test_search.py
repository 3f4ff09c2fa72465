from __future__ import annotations

import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from math import inf, nan

import pytest

from automl_core import Choice, Context, Float, Int, Params, SettingsError, Space, Trial, TrialState, When
from automl_optuna.improvement import Progress
from automl_optuna.plugin import build_search
from automl_optuna.search import OptunaSearch

ONE = {"one": Space({"x": Float(0, 1), "y": Float(0, 1)})}
TWO = {"good": Space({"x": Float(0, 1)}), "bad": Space({"x": Float(0, 1)})}


def complete(trial: Trial, loss: float | None, seconds: float = 1.0) -> Trial:
    return trial.with_result(TrialState.COMPLETE, loss=loss, seconds=seconds)


def distance(params: Params, x: float = 0.3, y: float = 0.7) -> float:
    return abs(float(params["x"] or 0) - x) + abs(float(params["y"] or 0) - y)


def test_prior_knowledge_guides_the_first_proposals() -> None:
    search = OptunaSearch()
    losses = []
    for known in (False, True):
        search.begin(ONE, seed=0)
        for number in range(60 if known else 0):
            params = {"x": number % 10 / 10, "y": number // 6 / 10}
            search.tell(complete(Trial(-1 - number, "one", params, origin="portfolio"), distance(params)))
        losses.append(sum(distance(trial.params) for trial in search.ask(8)) / 8)
    assert losses[1] < losses[0] / 2


def test_equal_looking_options_are_told_apart() -> None:
    options = (1, True, 1.0, "1", None)
    search = OptunaSearch()
    search.begin({"one": Space({"c": Choice(options), "x": Float(0, 1)})}, seed=0)
    seen = set()
    for _ in range(40):
        (trial,) = search.ask(1)
        seen.add(repr(trial.params["c"]))
        search.tell(complete(trial, 0.5))
    for option in options:
        search.tell(complete(Trial(-1, "one", {"c": option}), 0.1))
    assert seen == {repr(option) for option in options}
    assert len(search.ask(1)) == 1


def test_inactive_or_foreign_parameters_of_prior_knowledge_are_left_out() -> None:
    space = Space({"drop": Choice((True, False)), "rate": Float(0, 1, when=When("drop", (True,)))})
    search = OptunaSearch()
    search.begin({"one": space}, seed=0)
    for params in ({"drop": False, "rate": 0.5}, {"unknown": 1}, {"rate": 7.0}, {"drop": "yes"}, {}):
        search.tell(complete(Trial(-1, "one", params), 0.5))
    space.check(search.ask(1)[0].params)


def test_trial_of_an_unknown_learner_is_ignored() -> None:
    search = OptunaSearch()
    search.begin(ONE, seed=0)
    search.tell(complete(Trial(-1, "two", {"x": 0.5}), 0.5))
    assert [trial.learner for trial in search.ask(2)] == ["one", "one"]


@pytest.mark.parametrize("loss", [None, nan, inf, -inf])
def test_loss_that_is_no_number_does_not_count_as_the_best(loss: float | None) -> None:
    search = OptunaSearch()
    search.begin(TWO, seed=0)
    for number in range(10):
        search.tell(complete(Trial(-1 - number, "bad", {"x": number / 10}), loss))
        search.tell(complete(Trial(-1 - number, "good", {"x": number / 10}), 0.5 - number / 100))
    chosen = Counter(trial.learner for trial in search.ask(50))
    assert chosen["good"] > 35


def test_learner_that_improves_per_second_gets_more_trials() -> None:
    search = OptunaSearch()
    search.begin(TWO, seed=0)
    for number in range(12):
        search.tell(complete(Trial(-1 - number, "good", {"x": 0.5}), 0.5 - number / 100, seconds=1))
        search.tell(complete(Trial(-1 - number, "bad", {"x": 0.5}), 0.8 - number / 1000, seconds=20))
    assert Counter(trial.learner for trial in search.ask(100))["good"] > 90


def test_every_learner_is_tried_before_any_comes_again() -> None:
    spaces = {name: Space({"x": Float(0, 1)}) for name in "abc"}
    search = OptunaSearch()
    search.begin(spaces, seed=0)
    assert [trial.learner for trial in search.ask(6)] == ["a", "b", "c", "a", "b", "c"]


def test_time_of_trials_decides_only_where_there_is_one() -> None:
    runs = []
    for _ in range(2):
        search = OptunaSearch()
        search.begin(TWO, seed=3)
        for number in range(20):
            (trial,) = search.ask(1)
            search.tell(complete(trial, 1 / (1 + number), seconds=0.0))
        runs.append([(trial.learner, trial.params) for trial in search.ask(5)])
    assert runs[0] == runs[1]


def test_last_configuration_of_a_large_finite_space_is_found_or_given_up() -> None:
    search = OptunaSearch("random")
    search.begin({"one": Space({"x": Int(0, 30), "y": Int(0, 30)})}, seed=0)
    seen = [tuple(sorted(trial.params.items())) for trial in search.ask(2000)]
    assert len(seen) == len(set(seen)) == 31 * 31
    assert search.exhausted


@pytest.mark.parametrize(("sampler", "library"), [("tpe", "optuna"), ("cmaes", "cmaes"), ("gp", "torch")])
def test_model_of_each_sampler_is_replayed_from_its_tells(sampler: str, library: str) -> None:
    pytest.importorskip(library)
    runs = []
    for _ in range(2):
        search = OptunaSearch(sampler, startup=4)
        search.begin(ONE, seed=5)
        asked = []
        for _ in range(8):
            (trial,) = search.ask(1)
            asked.append(trial.params)
            search.tell(complete(trial, distance(trial.params)))
        runs.append(asked)
    assert runs[0] == runs[1]


def test_missing_library_of_a_sampler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_optuna.samplers.find_spec", lambda name: None if name == "cmaes" else find_spec(name))
    with pytest.raises(SettingsError, match=r"needs cmaes\. Install it with: pip install 'automl-optuna\[cmaes\]'"):
        build_search(Context("optuna", {"sampler": "cmaes"}))


def test_unknown_sampler_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match=r"plugins\.optuna\.sampler"):
        build_search(Context("optuna", {"sampler": "tep"}))


def test_optuna_says_nothing_and_keeps_its_verbosity() -> None:
    script = """
import optuna
from automl_core import Float, Space, TrialState
before = optuna.logging.get_verbosity()
from automl_optuna.search import OptunaSearch
search = OptunaSearch()
search.begin({"one": Space({"x": Float(0, 1)})}, seed=0)
for _ in range(15):
    search.tell(search.ask(1)[0].with_result(TrialState.COMPLETE, loss=0.5))
assert optuna.logging.get_verbosity() == before
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_cost_of_improvement_follows_flaml() -> None:
    progress = Progress()
    progress.tell(1.0, 2.0)
    assert progress.cost_of_improvement(1.0) == 2.0  # the first result took 2 s
    progress.tell(0.8, 3.0)
    assert progress.cost_of_improvement(0.8) == 3.0  # the last improvement took 3 s
    progress.tell(0.9, 4.0)
    assert progress.cost_of_improvement(0.8) == 4.0  # 4 s in vain
    # Behind by 0.2; gained 0.2 in the 7 s since the result before the best one.
    assert progress.cost_of_improvement(0.6) == pytest.approx(2 * 0.2 * 7 / 0.2)


def test_studies_stay_in_memory_and_apart() -> None:
    first, second = OptunaSearch(), OptunaSearch()
    for search in (first, second):
        search.begin(ONE, seed=0)
    first.ask(5)
    assert second.ask(1)[0].id == 0
