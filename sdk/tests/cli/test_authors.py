from __future__ import annotations

from pathlib import Path

import pytest

from automl.authoring.make import RESERVED
from automl.cli.plugins import plugins


def test_new_writes_a_plugin_and_says_what_is_next(run, tmp_path: Path) -> None:
    result = run("plugins", "new", "my_audit", "--kind", "tracker")
    assert result.exit_code == 0
    assert (tmp_path / "automl-my-audit/src/automl_my_audit/tracker.py").is_file()
    assert "cd automl-my-audit && pip install -e '.[test]' && pytest && automl plugins check my_audit" in result.stdout


def test_new_writes_where_it_is_told(run, tmp_path: Path) -> None:
    assert run("plugins", "new", "mine", "--kind", "cache", "--out", "a/b").exit_code == 0
    assert (tmp_path / "a/b/pyproject.toml").is_file()


@pytest.mark.parametrize(
    ("name", "what"), [("My-Plugin", "cannot be named"), ("check", "cannot be named"), ("ray", "belongs to automl-ray")]
)
def test_name_that_cannot_be_is_refused(run, tmp_path: Path, name: str, what: str) -> None:
    result = run("plugins", "new", name, "--kind", "cache")
    assert result.exit_code == 1
    assert what in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_folder_that_holds_something_is_left_alone(run, tmp_path: Path) -> None:
    (tmp_path / "automl-mine").mkdir()
    (tmp_path / "automl-mine/notes.txt").write_text("mine")
    result = run("plugins", "new", "mine", "--kind", "cache")
    assert result.exit_code == 1
    assert "holds something already" in result.stderr
    assert [path.name for path in (tmp_path / "automl-mine").iterdir()] == ["notes.txt"]


def test_kinds_are_offered(run) -> None:
    result = run("plugins", "new", "mine", "--kind", "trackr")
    assert result.exit_code == 2
    assert "'tracker'" in result.stderr


def test_no_plugin_is_named_like_a_command() -> None:
    assert set(plugins.commands) == RESERVED


@pytest.mark.parametrize("words", [["plugins", "show"], ["plugins"]])
def test_show_may_be_left_out(run, installed, words: list[str]) -> None:
    installed("silent", "")
    assert "acme-silent" in run(*words).stdout
    assert "acme-silent" in run(*words, "--json").stdout
    assert "listener" in run(*words, "silent").stdout


def test_help_of_plugins_lists_its_commands(run) -> None:
    assert all(f"\n  {name} " in run("plugins", "--help").stdout for name in RESERVED)
