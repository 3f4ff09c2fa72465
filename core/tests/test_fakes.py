from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from automl_core import Trial
from automl_core.testing.fakes import ScriptedSearch, installed


def test_installed_distribution_is_there_inside_the_block(tmp_path: Path) -> None:
    with installed(tmp_path, "mine", "mine_module", source="x = 1", version="3.1", requires=["automl-core>=0.1"]):
        import mine_module  # type: ignore[import-not-found]

        assert mine_module.x == 1
        assert distribution("fake-mine").version == "3.1"
        assert distribution("fake-mine").requires == ["automl-core>=0.1"]
    assert "mine_module" not in sys.modules
    with pytest.raises(PackageNotFoundError):
        distribution("fake-mine")


def test_several_entry_points_of_one_distribution(tmp_path: Path) -> None:
    with (
        installed(tmp_path, "one", "module", source="", distribution="both"),
        installed(tmp_path, "two", "module", distribution="both"),
    ):
        assert {entry.name for entry in distribution("both").entry_points} == {"one", "two"}


def test_scripted_search_follows_its_script() -> None:
    search = ScriptedSearch([("a", {"x": 1}), ("b", {}), ("a", {"x": 2})])
    search.begin({}, seed=0)
    assert [trial.params for trial in search.ask(1)] == [{"x": 1}]
    assert search.ask(1, learner="a") == []
    assert [(trial.id, trial.learner) for trial in search.ask(5)] == [(1, "b"), (2, "a")]
    assert search.exhausted
    search.tell(Trial(0, "a", {}))
    assert len(search.told) == 1


def test_scripted_search_starts_over() -> None:
    search = ScriptedSearch([("a", {})])
    for _ in range(2):
        search.begin({}, seed=0)
        assert len(search.ask(3)) == 1
