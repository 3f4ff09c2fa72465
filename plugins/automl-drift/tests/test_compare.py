"""Two tables, and the pages about them."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from automl_core import DataError, SettingsError
from automl_drift.compare import compare
from automl_drift.page import to_html, to_json

RANDOM = np.random.default_rng(0)
EVIL = "<script>alert(1)</script>"
NUMBERS = RANDOM.normal(size=4000)
EDGES = np.quantile(NUMBERS, np.linspace(0, 1, 21))


def schema(features: int) -> dict[str, object]:
    numbers = {"edges": EDGES.tolist(), "counts": np.histogram(NUMBERS, EDGES)[0].tolist()}
    inputs = [{"name": f"x{i}", "kind": "number", "statistics": numbers} for i in range(features)]
    category = {"levels": ["a", EVIL], "level_counts": [2000, 2000]}
    return {"rows": 4000, "inputs": [*inputs, {"name": EVIL, "kind": "category", "statistics": category}]}


def table(features: int, rows: int, shift: float, seed: int = 1) -> dict[str, list[object]]:
    random = np.random.default_rng(seed)
    columns = {f"x{i}": (random.normal(size=rows) + (shift if i == 0 else 0)).tolist() for i in range(features)}
    return {**columns, EVIL: random.choice(["a", EVIL], rows).tolist()}


def test_what_changed_is_named_and_the_rest_is_not() -> None:
    assert compare(schema(20), table(20, 1000, 0.5)).drifted == ("x0",)


@pytest.mark.parametrize("rows", [50, 500, 20_000])
def test_false_alarms_of_twenty_columns_are_rare(rows: int) -> None:
    found = [compare(schema(20), table(20, rows, 0.0, seed)).status for seed in range(20)]
    assert found.count("drift") <= 1


def test_a_few_rows_allow_no_verdict() -> None:
    assert compare(schema(1), table(1, 10, 9.0)).status == "not enough data"


def test_page_is_whole_small_and_safe() -> None:
    report = compare(schema(200), table(200, 500, 1.0))
    page = to_html(report, reference=EVIL, current="new.csv")
    assert EVIL not in page
    assert "http" not in page
    assert "Drift in 1 of 201 features: x0." in page
    assert len(page) < 2_000_000
    parser = HTMLParser()
    parser.feed(page)
    assert page == to_html(report, reference=EVIL, current="new.csv")


def test_page_tells_of_faults() -> None:
    columns = {**table(2, 500, 0.0), "x1": [None] * 200 + [0.0] * 300}
    assert "<td>40% missing</td>" in to_html(compare(schema(2), columns), reference="old.csv", current="new.csv")


def test_json_says_the_same_as_the_page() -> None:
    report = compare(schema(3), table(3, 500, 1.0))
    body = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert body["drifted"] == ["x0"]
    assert body["features"][0]["violations"].keys() == {"missing", "out_of_range"}
    assert [item["name"] for item in body["features"]] == [item.profile.name for item in report.findings]
    assert (
        len(body["features"][0]["bins"]) == len(body["features"][0]["reference"]) == len(body["features"][0]["current"])
    )


@pytest.mark.parametrize("columns", [{}, {"x0": []}, {"x0": [1.0], EVIL: ["a", "a"]}])
def test_tables_without_rows_or_of_unequal_columns_are_refused(columns: dict[str, list[object]]) -> None:
    with pytest.raises(DataError, match="one row"):
        compare(schema(1), columns)


def test_a_level_that_is_no_chance_is_refused() -> None:
    with pytest.raises(SettingsError, match="level"):
        compare(schema(1), table(1, 50, 0.0), level=5)
