"""Pins of deploy/: images get what was tested, and the script that renews the pins does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from deployment import DEPLOY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RESOLVER = """#!/bin/sh
while [ "$1" != --output-file ]; do shift; done
[ "$3" = deploy/requirements-dev.txt ] || exit 2
cat >"$2" <<END
-e ./core
b==2
# c
A.a==1.0
file:///x
END
"""


def pins() -> dict[str, str]:
    lines = (DEPLOY / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_server_of_mlflow_is_what_its_clients_were_tested_with() -> None:
    for line in (DEPLOY / "mlflow/requirements.txt").read_text().splitlines():
        wanted = Requirement(line)
        # The plugin needs the client alone, which goes by another name.
        name = {"mlflow": "mlflow-skinny"}.get(wanted.name, wanted.name)
        assert wanted.specifier.contains(pins()[canonicalize_name(name)]), line


def test_refresh_writes_sorted_pins_and_nothing_else(tmp_path: Path) -> None:
    """The script with a resolver that says what uv may say, among it lines that are no pins."""
    (tmp_path / "deploy").mkdir()
    shutil.copy(DEPLOY / "refresh", tmp_path / "deploy")
    resolver = tmp_path / "uv"
    resolver.write_text(RESOLVER)
    resolver.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([tmp_path / "deploy/refresh"], env=environment, check=True)
    written = (tmp_path / "deploy/constraints.txt").read_text().splitlines()
    assert written[:2] == ["A.a==1.0", "b==2"]
    (torch,) = written[2:]
    assert torch == f"torch=={pins()['torch']}"


def test_secrets_and_models_stay_out_of_git() -> None:
    kept = (DEPLOY / ".gitignore").read_text().split()
    bound = set(re.findall(r"\./(models|secrets)\b", (DEPLOY / "compose.yaml").read_text()))
    assert {f"{name}/" for name in bound} == set(kept)
