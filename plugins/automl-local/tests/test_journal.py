from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from automl_core import ComponentUnavailable, Study, Trial, TrialState
from automl_local.journal import JournalTracker

STUDY = Study(id="abc", task="regression", metric="rmse", rows=10, columns=2, seed=0, folds=3)


def make_model(folder: Path, text: str) -> Path:
    path = folder / "model.automl"
    path.write_text(text)
    return path


def test_study_is_json_lines_that_tell_its_story(tmp_path: Path) -> None:
    with JournalTracker(tmp_path) as tracker:
        tracker.start(STUDY)
        tracker.log(Trial(0, "linear", {"c": 1.0}, state=TrialState.COMPLETE, loss=0.5))
        tracker.finish(ValueError("no luck"))
    lines = [json.loads(line)["record"] for line in (tmp_path / "studies" / "abc.jsonl").read_text().splitlines()]
    assert [line["record"] for line in lines] == ["Study", "Trial", "Event"]
    assert lines[2]["attributes"] == {"error": "ValueError: no luck"}


def test_artifact_is_kept_with_its_study(tmp_path: Path) -> None:
    tracker = JournalTracker(tmp_path / "files")
    tracker.start(STUDY)
    tracker.artifact("model.automl", make_model(tmp_path, "model"))
    assert (tmp_path / "files" / "artifacts" / "abc" / "model.automl").read_text() == "model"


def test_trial_before_its_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="before the start"):
        JournalTracker(tmp_path).log(Trial(0, "linear", {}))


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComponentUnavailable, match=r"model\.automl.*plugins\.journal\.directory"):
        JournalTracker(make_model(tmp_path, "x")).start(STUDY)


def test_promotion_and_rollback_go_back_step_by_step(tmp_path: Path) -> None:
    registry = JournalTracker(tmp_path / "files")
    for text in ("one", "two", "three"):
        version = registry.register("income", make_model(tmp_path, text), tags={"study": text})
        registry.alias("income", "challenger", version)
        registry.alias("income", "champion", "challenger")
    assert registry.aliases("income") == {"challenger": "3", "champion": "3"}
    assert [registry.rollback("income", "champion") for _ in range(2)] == ["2", "1"]
    assert registry.version("income", "champion").tags == {"study": "one"}
    with pytest.raises(KeyError, match="never pointed at another"):
        registry.rollback("income", "champion")


def test_same_alias_twice_is_one_step(tmp_path: Path) -> None:
    registry = JournalTracker(tmp_path / "files")
    for text in ("one", "two", "two"):
        registry.alias("income", "champion", registry.register("income", make_model(tmp_path, text)))
    registry.alias("income", "champion", "3")
    assert registry.rollback("income", "champion") == "2"


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    registry = JournalTracker(tmp_path / "files")
    versions = [registry.register("income", make_model(tmp_path, "same")) for _ in range(2)]
    assert versions == ["1", "2"]
    assert registry.resolve("income", "1") == registry.resolve("income", "2")


def test_model_is_a_copy(tmp_path: Path) -> None:
    registry = JournalTracker(tmp_path / "files")
    path = make_model(tmp_path, "first")
    registry.register("income", path)
    path.write_text("overwritten")
    assert registry.resolve("income", "1").read_text() == "first"


def test_processes_may_register_and_promote_at_once(tmp_path: Path) -> None:
    script = """
import pathlib, sys
from automl_local.journal import JournalTracker
path = pathlib.Path(sys.argv[2])
path.write_text(path.name)
tracker = JournalTracker(sys.argv[1])
for _ in range(10):
    version = tracker.register("income", path)
    tracker.alias("income", "champion", version)
    assert tracker.resolve("income", version).read_text() == path.name
"""
    commands = [[sys.executable, "-c", script, tmp_path / "files", tmp_path / str(number)] for number in range(3)]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    registry = JournalTracker(tmp_path / "files")
    assert registry.versions("income") == [str(number) for number in range(1, 31)]
    assert registry.aliases("income")["champion"] in registry.versions("income")


@pytest.mark.parametrize("alias", ["", "7"])
def test_alias_that_looks_like_a_version_is_refused(tmp_path: Path, alias: str) -> None:
    registry = JournalTracker(tmp_path / "files")
    registry.register("income", make_model(tmp_path, "x"))
    with pytest.raises(ValueError, match="cannot be an alias"):
        registry.alias("income", alias, "1")


def test_mistyped_alias_gets_a_hint(tmp_path: Path) -> None:
    registry = JournalTracker(tmp_path / "files")
    registry.alias("income", "champion", registry.register("income", make_model(tmp_path, "x")))
    with pytest.raises(KeyError, match="Did you mean 'champion'"):
        registry.resolve("income", "champoin")


@pytest.mark.parametrize("name", ["../income", "/income", ""])
def test_model_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no valid name"):
        JournalTracker(tmp_path / "files").register(name, make_model(tmp_path, "x"))
