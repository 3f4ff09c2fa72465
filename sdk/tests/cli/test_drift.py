from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

pytest.importorskip("automl_drift")

Run = Callable[..., Result]


def write(path: Path, shift: float, seed: int, rows: int = 1000) -> None:
    random = np.random.default_rng(seed)
    lines = zip(random.normal(shift, 1, rows), random.choice(["red", "blue"], rows), strict=True)
    path.write_text("size,colour\n" + "".join(f"{size:.6f},{colour}\n" for size, colour in lines))


@pytest.fixture
def tables(tmp_path: Path) -> None:
    write(tmp_path / "old.csv", 0.0, 0)
    write(tmp_path / "same.csv", 0.0, 1)
    write(tmp_path / "new.csv", 0.7, 2)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize(("current", "status", "code"), [("same.csv", "ok", 0), ("new.csv", "drift", 3)])
def test_verdict_and_exit_code(run: Run, current: str, status: str, code: int) -> None:
    result = run("drift", "old.csv", current, "--exit-code")
    assert result.output.startswith(f"{status}: 1000 rows")
    assert result.exit_code == code


@pytest.mark.usefixtures("tables")
def test_json_and_page(run: Run, tmp_path: Path) -> None:
    result = run("drift", "old.csv", "new.csv", "--json", "--html", "drift.html")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["drifted"] == ["size"]
    assert "Drift in 1 of 2 features: size." in (tmp_path / "drift.html").read_text()


def test_a_missing_table_is_named(run: Run) -> None:
    result = run("drift", "nothing.csv", "new.csv")
    assert result.exit_code == 1
    assert "nothing.csv" in result.output
