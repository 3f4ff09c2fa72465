from __future__ import annotations

import json
import math
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from automl.schema import Schema, describe
from automl.table import open_table
from automl_core import DataError

N = 200
SENTENCES = [f"the {i} quick brown foxes of farm {i % 7} jump over dogs" for i in range(N)]


def described(values, *others):
    columns = {"a": values} | {f"other{i}": item for i, item in enumerate(others)}
    columns["anchor"] = [float(i * i) for i in range(len(values))]
    return describe(open_table(columns))["a"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, 2.5] * (N // 2), "number"),
        ([1, 2] * (N // 2), "number"),
        ([True, False] * (N // 2), "boolean"),
        (["x", "y"] * (N // 2), "category"),
        (pa.array([1, 2] * (N // 2)).dictionary_encode(), "category"),
        ([f"{i / 7:.3f}" for i in range(N)], "number"),
        (["1", "2"] * (N // 2), "category"),
        (["1", "?"] * (N // 2), "number"),
        (["01067", "80331"] * (N // 2), "category"),
        ([date(2020, 1, 1) + timedelta(days=i) for i in range(N)], "datetime"),
        ([f"2020-01-{i % 28 + 1:02d}T10:00:00Z" for i in range(N)], "datetime"),
        ([*(["2020-01-01", "2020-05-05"] * (N // 2 - 2)), "soon", "", "2020-01-02", "NA"], "datetime"),
        (SENTENCES, "text"),
        (["one of two long labels here", "the other long label here"] * (N // 2), "category"),
    ],
)
def test_the_kind_of_a_column(values, kind):
    item = described(values)
    assert (item.kind, item.dropped) == (kind, "")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0] * N, "constant"),
        (["x"] * N, "constant"),
        ([None] * N, "all values are missing"),
        ([math.inf] * N, "all values are missing"),
        ([[1]] * N, "nested"),
        ([{"b": 1}] * N, "nested"),
        ([b"x"] * N, "bytes"),
        ([f"user{i}" for i in range(N)], "an id"),
    ],
)
def test_a_column_is_dropped_with_a_reason(values, reason):
    assert reason in described(values).dropped


def test_a_constant_with_gaps_is_kept():
    assert described([1.0, None] * (N // 2)).used
    assert described(["x", None] * (N // 2)).used


@pytest.mark.parametrize(
    "values", [[1.0, math.nan, 3.0, 4.0], [1, 2, 2, 3], ["x", "y", "x", None], [True, False, True, True]]
)
def test_a_column_equal_to_an_earlier_one_is_dropped(values):
    schema = describe(open_table({"first": values, "again": values, "other": [9.0, 7.0, 8.0, 3.5]}))
    assert schema["first"].used
    assert schema["again"].dropped == "equal to 'first'"


def test_columns_that_merely_look_alike_are_kept():
    schema = describe(open_table({"a": ["x", "y", "y", "x"], "b": ["x", "y", "x", "y"]}))
    assert len(schema.used) == 2


@pytest.mark.parametrize(
    ("name", "values"), [("row", list(range(N))), ("customer_id", [(i * 37) % N for i in range(N)])]
)
def test_a_numeric_id_is_kept_with_a_note(name, values):
    item = describe(open_table({name: values}))[name]
    assert item.used
    assert "looks like an id" in item.notes[0]


def test_infinite_values_count_as_missing_with_a_note():
    item = described([math.inf, -math.inf, 1.0, 2.0])
    assert item.statistics.missing == 0.5
    assert item.notes == ("2 infinite values count as missing",)
    assert item.statistics.maximum == 2.0


def test_unreadable_dates_count_as_missing_with_a_note():
    item = described([*(["2020-01-01", "2020-01-02"] * 50), "yesterday"])
    assert item.statistics.missing == pytest.approx(1 / 101)
    assert "1 values are no ISO dates" in item.notes[0]


@pytest.mark.parametrize("rows", [2, 19, 1000])
def test_bins_count_every_value_once(rows):
    values = np.random.default_rng(0).normal(size=rows).round(1)
    statistics = described(list(values)).statistics
    assert sum(statistics.counts) == rows
    assert statistics.counts == tuple(np.histogram(values, bins=np.array(statistics.edges))[0])
    assert statistics.mean == pytest.approx(values.mean())
    assert statistics.distinct == len(np.unique(values))


def test_levels_are_counted_most_frequent_first():
    statistics = described(["b"] * 3 + ["a"] * 5 + [None] * 2).statistics
    assert (statistics.levels, statistics.level_counts, statistics.other) == (("a", "b"), (5, 3), 0)
    assert statistics.missing == pytest.approx(0.2)


def test_rows_beyond_the_top_levels_are_counted_too():
    values = [f"level{i}" for i in range(80) for _ in range(2)]
    statistics = described(values).statistics
    assert sum(statistics.level_counts) + statistics.other == len(values)


def test_the_target_is_left_out():
    assert describe(open_table({"a": [1, 2], "y": [3, 4]}), "y").names == ("a",)


def test_a_schema_survives_json():
    table = open_table(
        {
            "n": [1.5, math.inf, 1e308],
            "s": ["x", "y", "x"],
            "d": [date(1, 1, 1), date(9999, 12, 31), None],
            "c": [1, 1, 1],
        }
    )
    schema = describe(table)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


@pytest.mark.parametrize("body", [None, {}, {"rows": 1}, {"rows": 1, "inputs": [{"name": "a"}]}])
def test_what_is_no_schema_says_so(body):
    with pytest.raises(DataError, match="no schema"):
        Schema.from_json(body)


def test_an_unknown_kind_says_so():
    body = describe(open_table({"a": [1, 2]})).to_json()
    body["inputs"][0]["kind"] = "sound"
    with pytest.raises(DataError, match="'sound'"):
        Schema.from_json(body)


def test_a_table_without_a_useful_column_says_why():
    with pytest.raises(DataError, match="'a': constant"):
        describe(open_table({"a": [1, 1], "y": [0, 1]}), "y")
    with pytest.raises(DataError, match="the target alone"):
        describe(open_table({"y": [0, 1]}), "y")


def test_a_column_can_be_dropped_later():
    schema = describe(open_table({"a": [1, 2], "b": [2, 1]})).drop({"b": "asked for"})
    assert [item.name for item in schema.used] == ["a"]
    with pytest.raises(KeyError):
        schema.drop({"c": "asked for"})


def test_a_word_of_each_text_is_counted():
    texts = [f"delivery number{i} arrived in a parcel of colour{i % 7}" for i in range(500)]
    found = described([*texts, None])
    assert found.kind == "text"
    assert sum(found.statistics.level_counts) + found.statistics.other == 500
    assert found.statistics.levels[0] in ("delivery", "arrived", "parcel")
