"""What the READMEs tell people to type works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
from packages import ROOT, read_packages

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"```\n(.+?)\n```", README, re.DOTALL)[0].splitlines()
LINKS = [(path, link) for path in ("README.md", "core/README.md", "sdk/README.md", "deploy/README.md")
         for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / path).read_text())]  # fmt: skip


def test_readme_begins_with_two_commands_of_one_line() -> None:
    assert len(COMMANDS) == 2
    assert COMMANDS[0].endswith("automl demo")
    assert "pytest" in COMMANDS[1]


@pytest.mark.parametrize("what", ["automl demo", "pytest"])
def test_ci_finds_the_command_of_the_readme(what: str) -> None:
    ci = (ROOT / ".ci/run").read_text()
    finder = next(line for line in ci.splitlines() if line.startswith("readme()"))
    done = subprocess.run(["bash", "-c", f"{finder}\nreadme '{what}'"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [COMMANDS[0 if what == "automl demo" else 1]]


def test_ci_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_files_of_the_commands_exist(command: str) -> None:
    files = [word for word in shlex.split(command) if word.endswith(".txt")]
    assert files
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(("path", "link"), [pair for pair in LINKS if "://" not in pair[1]])
def test_link_leads_somewhere(path: str, link: str) -> None:
    assert ((ROOT / path).parent / link).exists()


@pytest.mark.parametrize("name", [p.folder.name for p in read_packages("plugins/automl-*", "contrib/*")])
def test_plugin_is_in_the_table(name: str) -> None:
    assert name in README


def test_python_of_the_user_guide_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.+?)```", (ROOT / "sdk/README.md").read_text(), re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        exec(compile(block, f"sdk/README.md block {number}", "exec"), names)


def automl_lines() -> list[str]:
    texts = (README, (ROOT / "sdk/README.md").read_text())
    return sorted(
        {line for text in texts for line in re.findall(r"^automl [a-z].+$|(?<=`)automl [^`]+(?=`)", text, re.MULTILINE)}
    )


@pytest.mark.parametrize("line", automl_lines())
def test_command_line_of_the_guide_is_understood(line: str) -> None:
    from automl.cli.app import cli

    words = shlex.split(line.partition(">")[0], comments=True)[1:]
    command = cli.commands[words[0]]
    command.make_context(words[0], words[1:], parent=click.Context(cli))
