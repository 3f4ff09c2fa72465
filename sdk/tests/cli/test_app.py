"""Help, exit codes and messages."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from automl.cli.app import cli


def walk(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    for name, sub in sorted(getattr(command, "commands", {}).items()):
        yield from walk(sub, *words, name)


COMMANDS: dict[str, Any] = dict(walk(cli))


@pytest.mark.parametrize("name", ["demo", "fit", "inspect", "leaderboard", "plugins", "predict", "settings", "version"])
def test_command_is_listed(run, name: str) -> None:
    assert f"\n  {name} " in run("--help").stdout


@pytest.mark.parametrize("words", COMMANDS)
def test_help_ends_with_examples(run, words: str) -> None:
    result = run(*words.split(), "--help")
    assert result.exit_code == 0
    assert f"Examples:\n  {COMMANDS[words].examples[0]}" in result.stdout


@pytest.mark.parametrize("line", sorted({line for command in COMMANDS.values() for line in command.examples}))
def test_example_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(re.sub(r"^AUTOML_\w+=\S+ ", "", line).partition(">")[0])
    assert words[0] == "automl"
    for word in words:
        if re.fullmatch(r"\w+\.\w+", word):
            Path(word).touch()  # some commands look whether a file is there
    context = cli.make_context("automl", words[1:])
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, rest = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, rest, parent=context)


def test_version_is_the_distributions(run) -> None:
    import automl

    assert run("version").stdout.startswith(f"automl {automl.__version__} ")


@pytest.mark.parametrize(("words", "hint"), [(["fti"], "fit"), (["fit", "d.csv", "--metrc", "y"], "--metric")])
def test_mistyped_word_gets_a_suggestion(run, words: list[str], hint: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert f"Did you mean '{hint}'?" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "d.csv"],
        ["fit", "d.csv", "--target", "y", "--time-limit", "0"],
        ["fit", "d.csv", "--target", "y", "--out", "nowhere/m.automl"],
        ["fit", "d.csv", "--target", "y", "--out", "."],
        ["predict", "m.automl", "d.csv", "--out", "p.xlsx"],
    ],
)
def test_wrong_usage_exits_with_2(run, words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr


def assert_failed(result: Result, code: int, what: str) -> None:
    assert result.exit_code == code
    assert what in result.stderr
    assert result.stderr.startswith("automl: ")
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_unknown_setting_exits_with_2(run) -> None:
    assert_failed(run("settings", AUTOML_EXECUTR="ray"), 2, "Did you mean 'AUTOML_EXECUTOR'?")


def test_missing_model_exits_with_1(run) -> None:
    assert_failed(run("leaderboard", "missing.automl"), 1, "missing.automl")


def test_missing_data_exits_with_1(run) -> None:
    assert_failed(run("fit", "missing.csv", "--target", "y", "--quiet"), 1, "missing.csv")


@pytest.mark.parametrize("words", [["--debug", "plugins", "nothing"], ["plugins", "nothing", "--debug"]])
def test_debug_shows_where_an_error_comes_from(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "automl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "PluginError: plugin 'nothing' is not installed" in done.stderr


def test_closed_pipe_is_quiet() -> None:
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -m automl settings | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("automl rep", "report"),
        ("automl fit --ti", "--time-limit"),
        ("automl plugins ne", "new"),
        ("automl plugins retr", "retrain"),
        ("automl plugins check retr", "retrain"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes(words: str, expected: str, shell: str) -> None:
    told = {
        "_AUTOML_COMPLETE": f"{shell}_complete", "COMP_WORDS": words,
        "COMP_CWORD": words.split()[-1] if shell == "fish" else str(len(words.split()) - 1),
    }  # fmt: skip
    command = [sys.executable, "-c", "from automl.cli import main; main()"]
    done = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True)
    assert expected in done.stdout
