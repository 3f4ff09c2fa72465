from __future__ import annotations

import pytest

from automl_core import Choice, Float, Int, Space, Trial, TrialState, When
from automl_core.unseen import GRID
from automl_local.random_search import RandomSearch

CONDITIONAL = Space(
    {"kind": Choice(("a", "b")), "depth": Int(1, 3, when=When("kind", ("a",))), "rate": Float(0.5, 0.5)}
)


def ask_all(search: RandomSearch, limit: int = 100) -> list[Trial]:
    asked: list[Trial] = []
    while not search.exhausted and len(asked) < limit:
        asked += search.ask(1)
    return asked


def test_conditional_space_ends_after_its_distinct_configurations() -> None:
    search = RandomSearch()
    search.begin({"one": CONDITIONAL}, seed=0)
    params = [dict(trial.params) for trial in ask_all(search)]
    assert sorted(params, key=str) == sorted(CONDITIONAL.grid(), key=str)
    assert len(params) == 4


def test_configuration_that_was_told_is_not_asked() -> None:
    search = RandomSearch()
    search.begin({"one": Space({"x": Int(0, 4)})}, seed=0)
    search.tell(Trial(-1, "one", {"x": 3}, state=TrialState.COMPLETE, loss=0.5))
    assert sorted(str(trial.params["x"]) for trial in ask_all(search)) == ["0", "1", "2", "4"]


def test_large_finite_space_repeats_nothing() -> None:
    search = RandomSearch()
    search.begin({"one": Space({"x": Int(0, 2 * GRID)})}, seed=0)
    asked = [trial.params["x"] for trial in search.ask(5000)]
    assert len(set(asked)) == 5000


def test_exhausted_learner_leaves_the_turn_to_the_others() -> None:
    search = RandomSearch()
    search.begin({"empty": Space(), "endless": Space({"x": Float(0, 1)})}, seed=0)
    names = [trial.learner for trial in search.ask(50)]
    assert names.count("empty") == 1
    assert search.ask(1, learner="empty") == []
    assert not search.exhausted


def test_unknown_learner_is_named() -> None:
    search = RandomSearch()
    search.begin({"linear": Space()}, seed=0)
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        search.ask(1, learner="linaer")
