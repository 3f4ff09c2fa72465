"""The repository holds what the design says, and names no machine and no registry."""

from __future__ import annotations

import re
import subprocess

import pytest
from packages import ROOT

# Spelt so that this file holds none of them.
HOSTS = [
    f"{a}.{b}"
    for a, b in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("debian", "org"))
]
PATHS = [f"/{folder}/" for folder in ("work", "root", "home")]


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_with(patterns: list[str]) -> list[str]:
    pattern = re.compile("|".join(map(re.escape, patterns)))
    found = []
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data:
            continue
        found += [f"{name}: {line}" for line in data.decode("utf-8").splitlines() if pattern.search(line)]
    return found


DESIGN = {
    ".ci", ".gitignore", "LICENSE", "README.md", "contrib", "core", "deploy", "examples", "plugins", "pyproject.toml", "sdk",
    "tests",
}  # fmt: skip


def test_top_level_holds_nothing_beyond_the_design() -> None:
    assert {name.partition("/")[0] for name in tracked()} - DESIGN == set()


@pytest.mark.parametrize("name", sorted(DESIGN - {"examples"}))
def test_top_level_holds(name: str) -> None:
    assert name in {path.partition("/")[0] for path in tracked()}


def test_no_file_names_a_registry() -> None:
    assert lines_with(HOSTS) == []


def test_no_file_names_a_path_of_a_machine() -> None:
    assert lines_with(PATHS) == []


def test_no_lock_file_is_tracked() -> None:
    assert [name for name in tracked() if name.endswith("uv.lock")] == []


def test_files_are_small() -> None:
    large = [name for name in tracked() if (ROOT / name).stat().st_size > 1 << 20]
    assert large == []
