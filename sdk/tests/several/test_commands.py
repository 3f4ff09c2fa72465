"""Several targets on the command line: fit, predict, leaderboard, inspect, report."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv as arrow_csv

from automl.cli.app import cli


def call(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words], prog_name="automl")
    assert result.exit_code == code, result.stderr
    return result.stdout if code == 0 else result.stderr


@pytest.fixture
def data(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrow_csv.write_csv(pa.table({name: pa.array(column) for name, column in table.items()}), "data.csv")
    return "data.csv"


def test_fit_takes_several_targets(data, tmp_path):
    told = json.loads(call(
        "fit", data, "--target", "price", "--target", "sold", "--time-limit", "4", "--learners", "sklearn.linear",
        "--holdout", data, "--report", "page.html", "--quiet", "--json",
    ))  # fmt: skip
    assert told["target"] == ["price", "sold"]
    assert told["targets"]["sold"]["task"] == "binary"
    assert told["targets"]["sold"]["holdout_score"] > 0.9
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["page-price.html", "page-sold.html"]


def test_predict_writes_a_column_for_each_target(data, saved):
    rows = list(csv.DictReader(call("predict", saved, data, "--proba").splitlines()))
    assert list(rows[0]) == [
        "price", "sold", "rooms", "probability_sold_no", "probability_sold_yes", "probability_rooms_1", "probability_rooms_2",
        "probability_rooms_3",
    ]  # fmt: skip
    assert len(rows) == 240


def test_leaderboard_and_inspect_tell_of_each_target(saved):
    assert call("leaderboard", saved).split()[:2] == ["target", "metric"]
    assert {row["target"] for row in json.loads(call("leaderboard", saved, "--json"))} == {"price", "sold", "rooms"}
    assert "binary of 'sold'" in call("inspect", saved)
    assert set(json.loads(call("inspect", saved, "--json"))["targets"]) == {"price", "sold", "rooms"}


def test_report_writes_a_page_for_each_target(saved, data, tmp_path):
    call("report", saved, "--data", data, "--out", tmp_path / "r.html")
    assert sorted(path.name for path in tmp_path.glob("r-*.html")) == ["r-price.html", "r-rooms.html", "r-sold.html"]


def test_serving_several_targets_is_refused_with_a_way_out(saved):
    assert "several targets" in call("serve", saved, code=1)
