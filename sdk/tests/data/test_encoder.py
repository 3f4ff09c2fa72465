from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from automl.encoder import Encoder
from automl.scalars import FLOAT32_MAX
from automl.schema import describe
from automl.table import open_table
from automl_core import DataError

ROWS = 240
SUBJECTS = ("cheap red shoes", "late delivery again", "kind helpful staff", "broken zipper refund", "warm winter coat")


def text(i):
    return f"{SUBJECTS[i % 5]} and {SUBJECTS[i * i % 5]} number {i}"


def make_columns():
    rng = np.random.default_rng(0)
    return {
        "age": rng.normal(40, 10, ROWS).tolist(),
        "member": [i % 3 == 0 for i in range(ROWS)],
        "town": [("Bonn", "Ulm", "Jena", None)[min(3, int(x))] for x in rng.exponential(1, ROWS)],
        "since": [datetime(2020 + i % 4, i % 12 + 1, i % 28 + 1, i % 24) for i in range(ROWS)],
        "note": [text(i) for i in range(ROWS)],
        "constant": [1] * ROWS,
        "size": rng.integers(0, 9, ROWS).tolist(),
    }


@pytest.fixture(scope="module")
def columns():
    return make_columns()


@pytest.fixture(scope="module")
def encoder(columns):
    table = open_table(columns)
    return Encoder.fit(table, describe(table))


@pytest.fixture
def row(columns):
    return {name: values[0] for name, values in columns.items()}


def fit(**columns):
    table = open_table(columns)
    return Encoder.fit(table, describe(table))


def same(left, right):
    np.testing.assert_array_equal(left, right)
    assert left.dtype == right.dtype == np.float32
    assert left.flags.c_contiguous


def rows_of(columns):
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


# ---- what comes out


def test_columns_and_their_sources(encoder):
    assert encoder.names == ("age", "member", "town", "since", "note", "size")
    assert encoder.inputs == ("age", "member", "town", "since", "note", "constant", "size")
    names = [column.name for column in encoder.columns]
    assert names[:5] == ["age", "member", "town", "size", "since.days"]
    assert len(encoder.source) == len(names)
    assert [encoder.names[place] for place in encoder.source[:6]] == ["age", "member", "town", "size", "since", "since"]
    assert encoder.columns[2].categories == 3


def test_codes_fall_in_frequency(encoder, columns):
    codes = encoder.encode(columns)[:, 2]
    counts = [int((codes == code).sum()) for code in range(3)]
    assert counts == sorted(counts, reverse=True)
    assert np.isnan(codes).sum() == columns["town"].count(None)


def test_only_parts_of_a_date_that_vary_are_kept():
    encoder = fit(d=[date(2020, 1, day) for day in range(1, 8)])
    assert [c.name for c in encoder.columns] == ["d.days", "d.day", "d.weekday", "d.yearday"]
    assert encoder.encode({"d": "2020-01-03"}).tolist() == [[2, 3, 4, 3]]


def test_days_keep_seconds_apart():
    encoder = fit(d=[datetime(2020, 1, 1, 0, 0, second) for second in range(30)])
    assert len(np.unique(encoder.encode({"d": [datetime(2020, 1, 1, 0, 0, s) for s in range(30)]})[:, 0])) == 30


# ---- all ways in agree


def ways_in(columns):
    yield "rows", rows_of(columns)
    yield "columns", columns
    yield "arrow", pa.table(columns)
    yield "chunks", pa.concat_tables([pa.table(columns).slice(0, 7), pa.table(columns).slice(7)])
    yield "arrays", {name: np.array(values, dtype=object) for name, values in columns.items()}
    yield "lists", [list(values) for values in zip(*columns.values(), strict=True)]
    yield "array", np.array([list(values) for values in zip(*columns.values(), strict=True)], dtype=object)


@pytest.mark.parametrize("way", ["rows", "columns", "arrow", "chunks", "arrays", "lists", "array"])
def test_all_ways_in_give_the_same_numbers(encoder, columns, way):
    same(encoder.encode(dict(ways_in(columns))[way]), encoder.encode(open_table(columns)))


def test_a_row_alone_gives_the_same_numbers(encoder, columns):
    together = encoder.encode(columns)
    same(np.concatenate([encoder.encode(row) for row in rows_of(columns)]), together)


def test_pandas_and_polars_give_the_same_numbers(encoder, columns):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = encoder.encode(columns)
    same(encoder.encode(pd.DataFrame(columns)), expected)
    same(encoder.encode(pd.DataFrame(columns).astype({"town": "category"})), expected)
    same(encoder.encode(pl.DataFrame(columns)), expected)
    same(encoder.encode({name: pd.Series(values) for name, values in columns.items()}), expected)


@pytest.mark.parametrize("count", [1, 2, 16, 17])
@pytest.mark.parametrize("start", [0, 1, 5])
def test_few_rows_of_a_frame_give_the_same_numbers(encoder, columns, start, count):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    expected = encoder.encode(columns)[start : start + count]
    same(encoder.encode(pl.DataFrame(columns)[start : start + count]), expected)
    frame = pd.DataFrame(columns)[start : start + count]
    kinds = (
        {},
        {"town": "category", "size": "Int64", "age": "Float64", "member": "boolean"},
        {"size": "int8", "age": "float64", "town": "string", "note": "string"},
        {"since": "datetime64[s]", "member": "object", "size": "object"},
    )
    for kind in kinds:
        same(encoder.encode(frame.astype(kind)), expected)
        same(encoder.encode(frame.astype(kind), strict=False), expected)
    same(encoder.encode(frame.assign(since=frame["since"].dt.tz_localize("UTC"))), expected)
    same(encoder.encode(frame.drop(columns="constant")[frame.columns[::-1].drop("constant")]), expected)


def odd_frames(pd):
    now = datetime(2021, 5, 6, 7, 8, 9)
    yield "float32", pd.DataFrame({"a": np.float32([0.1, 3]), "b": np.float32([2, 0.5])})
    yield "missing", pd.DataFrame({"a": [pd.NA, 1.0], "b": [None, np.nan]}, dtype=object)
    yield "several types", pd.DataFrame({"a": [1, 2.5], "b": ["1", True]}, dtype=object)
    yield "dates", pd.DataFrame({"a": [1.0, np.inf], "b": [now, pd.NaT]})
    yield (
        "numpy's",
        pd.DataFrame({"a": [np.float32(0.1), np.int8(3)], "b": [np.str_("x"), np.bool_(True)]}, dtype=object),
    )
    yield "durations", pd.DataFrame({"a": pd.to_timedelta([1.5, None], "s"), "b": [3, 4]})
    yield "periods", pd.DataFrame({"a": [1, 2], "b": pd.period_range("2020", periods=2, freq="D")})
    yield "huge", pd.DataFrame({"a": [10**30, -(10**400)], "b": [10**18, 2**63 - 1]}, dtype=object)


@pytest.mark.parametrize("levels", [["x", "True", "1"], ["3", "0.1", "2021-05-06T07:08:09"]])
@pytest.mark.parametrize("count", [1, 2])
def test_what_an_odd_frame_holds_means_the_same_in_a_row_and_in_a_table(levels, count):
    pd = pytest.importorskip("pandas")
    encoder = fit(a=[0.5, 1.5] * 6, b=levels * (12 // len(levels)))
    for name, frame in odd_frames(pd):
        for start in range(3 - count):
            few = frame[start : start + count]
            np.testing.assert_array_equal(encoder.encode(few), encoder.encode(open_table(few)), err_msg=name)


def test_a_frame_of_one_row_is_told_what_it_lacks(encoder, row):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([row])
    with pytest.raises(DataError, match=r"lacks the column 'age'\..*'aged'"):
        encoder.encode(frame.rename(columns={"age": "aged"}))
    with pytest.raises(DataError, match=r"appear more than once: 'age'"):
        encoder.encode(frame.rename(columns={"size": "age"}))
    with pytest.raises(DataError, match="column 'age' expects a number, got the str 'old'"):
        encoder.encode(frame.assign(age="old"))


def test_a_file_gives_the_same_numbers(encoder, columns, tmp_path):
    import pyarrow.parquet

    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    same(encoder.encode(tmp_path / "a.parquet"), encoder.encode(columns))


def test_order_and_further_columns_do_not_matter(encoder, columns):
    shuffled = {"unknown": [[]] * ROWS, **dict(reversed(columns.items()))}
    same(encoder.encode(shuffled), encoder.encode(columns))
    same(encoder.encode(rows_of(shuffled)[:3]), encoder.encode(columns)[:3])


def test_an_array_may_leave_dropped_columns_out(columns):
    numbers = {name: columns[name] for name in ("age", "constant", "size")}
    encoder = fit(**numbers)
    whole = np.column_stack(list(numbers.values()))
    same(encoder.encode(whole), encoder.encode(whole[:, [0, 2]]))
    with pytest.raises(DataError, match="1 columns, but the model was trained on 3"):
        encoder.encode(whole[:, :1])


# ---- values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (True, 1),
        (np.float64(2.5), 2.5),
        (np.int8(-3), -3),
        (Decimal("1.5"), 1.5),
        (" 2.5 ", 2.5),
        ("1e3", 1000),
        ("?", math.nan),
        ("", math.nan),
        (None, math.nan),
        (math.nan, math.nan),
        (math.inf, math.nan),
        (-math.inf, math.nan),
        ("inf", math.nan),
        (1e300, FLOAT32_MAX),
        (-1e300, -FLOAT32_MAX),
        (10**30, 1e30),
        (10**400, math.nan),
    ],
)
def test_a_number_is_read(encoder, row, value, expected):
    assert encoder.encode(row | {"age": value})[0, 0] == pytest.approx(np.float32(expected), nan_ok=True)


@pytest.mark.parametrize("value", [1e300, -1e300, math.inf, 3.4028235677973366e38, 1e-46, 0.1])
def test_extreme_numbers_are_alike_in_rows_arrays_and_tables(value):
    encoder = fit(a=[1.0, 2.0])
    expected = encoder.encode({"a": value})
    same(encoder.encode({"a": np.array([value])}), expected)
    same(encoder.encode(pa.table({"a": [value]})), expected)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize(
    "value", [3, 0.1, True, None, math.nan, math.inf, -math.inf, -1e300, "2", 10**400, np.float64(2)]
)
def test_a_row_of_numbers_is_alike_alone_and_among_others(name, value):
    encoder = fit(a=[1.0, 2.0], b=[1.0, 2.0], c=[1, 2])
    row = {"a": 1.5, "b": -2, "c": 7} | {name: value}
    same(encoder.encode(row), encoder.encode([row, row])[:1])


@pytest.mark.parametrize("strict", [True, False])
def test_rows_are_encoded_alike_without_the_kernel(encoder, columns, monkeypatch, strict):
    rows = rows_of(columns)[:20]
    odd = [
        7,
        2.5,
        True,
        None,
        np.float64(3.5),
        np.int64(4),
        "8",
        10**30,
        math.nan,
        math.inf,
        FLOAT32_MAX,
        "",
        "Ulm",
        "Paris",
    ]
    rows += [{**rows[0], "age": v} for v in odd[:12]] + [{**rows[0], "member": v} for v in (1, 0.0, "yes", None, False)]
    rows += [{**rows[0], "town": value} for value in odd]
    if not strict:
        rows += [{name: value for name, value in rows[1].items() if name != left_out} for left_out in encoder.names]
    fast = [encoder.encode(row, strict=strict) for row in rows]
    together = encoder.encode(rows, strict=strict)
    monkeypatch.setattr("automl.encoder.encoder.kernel", None)
    same(np.concatenate(fast), np.concatenate([encoder.encode(row, strict=strict) for row in rows]))
    same(together, np.concatenate(fast))


def test_a_category_of_numbers_is_alike_without_the_kernel(monkeypatch):
    encoder = fit(kind=["3", "12", "x", "3"] * 5, n=[1.0, 2.0] * 10)
    rows = [{"kind": kind, "n": 1} for kind in (3, 12, "3", 3.0, True, "x", -1, None)]
    fast = [encoder.encode(row) for row in rows]
    assert fast[0][0, 0] == fast[2][0, 0] == fast[3][0, 0] != fast[1][0, 0]
    monkeypatch.setattr("automl.encoder.encoder.kernel", None)
    same(np.concatenate(fast), np.concatenate([encoder.encode(row) for row in rows]))


def test_pandas_na_is_missing(encoder, row):
    pd = pytest.importorskip("pandas")
    for name in ("age", "member", "town", "since", "note"):
        place = [c.name.split(".")[0] for c in encoder.columns].index(name)
        assert np.isnan(encoder.encode(row | {name: pd.NA})[0, place])


@pytest.mark.parametrize(("value", "expected"), [("true", 1), ("FALSE", 0), (0, 0), ("1", 1), (None, math.nan)])
def test_a_truth_is_read(encoder, row, value, expected):
    assert encoder.encode(row | {"member": value})[0, 1] == pytest.approx(expected, nan_ok=True)


def test_a_few_rows_of_a_dictionary_with_many_values_are_what_they_are_in_the_whole():
    towns = pa.array([f"town{number % 40}" for number in range(400)]).dictionary_encode()
    encoder, table = fit(town=towns), pa.table({"town": towns})
    same(encoder.encode(table.slice(17, 3)), encoder.encode(table)[17:20])


@pytest.mark.parametrize("value", ["Rome", 3, True, 2.5, ""])
def test_an_unseen_category_is_missing(encoder, row, value):
    assert math.isnan(encoder.encode(row | {"town": value})[0, 2])


@pytest.mark.parametrize(
    ("levels", "value"),
    [
        (["1", "2"], 2),
        (["1", "2"], 2.0),
        (["1", "2"], np.int64(2)),
        (["1.0", "2.0"], 2.0),
        (["False", "True"], True),
        (["false", "true"], True),
        (pa.array([1, 2]).dictionary_encode(), "2"),
        (pa.array([1.0, 2.0]).dictionary_encode(), 2),
        (["1.5", "2.5", "x"], 2.5),
    ],
)
def test_a_level_matches_by_its_text(levels, value):
    encoder = fit(c=levels)
    assert encoder.columns[0].categorical
    assert encoder.encode({"c": value}) == 1
    assert encoder.encode(pa.table({"c": [value]})) == 1


def test_rare_levels_share_the_last_code_with_unseen_ones():
    encoder = fit(c=["a"] * 60 + ["b"] * 40 + [f"once{i}" for i in range(30)])
    assert encoder.columns[0].categories == 3
    assert encoder.encode({"c": ["a", "b", "once3", "never", None]})[:, 0].tolist()[:4] == [0, 1, 2, 2]


def test_a_hundred_thousand_levels_are_capped():
    levels = [f"level{i}" for i in range(100_000) for _ in range(2)]
    encoder = fit(c=pa.array(levels))
    assert encoder.columns[0].categories == 10_001
    assert np.nanmax(encoder.encode(pa.table({"c": levels}))) == 10_000


def test_an_empty_string_is_a_level_only_where_training_had_it():
    assert math.isnan(fit(c=["a", "b"]).encode({"c": ""})[0, 0])
    assert fit(c=["", "b"]).encode({"c": ""})[0, 0] == 0


# ---- what goes wrong


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "abc"}, "column 'age' expects a number, got the str 'abc'"),
        ({"age": "1_000"}, "column 'age' expects a number"),
        ({"age": date(2020, 1, 1)}, "column 'age' expects a number, got a value of type date"),
        ({"age": 1j}, "column 'age' expects a number"),
        ({"age": {}}, "column 'age' expects a number"),
        ({"since": 5}, "column 'since' expects a date"),
        ({"town": {"name": "Ulm"}}, "column 'town' expects one value, got a dict"),
        ({"member": "maybe"}, "column 'member' expects a number, got the str 'maybe'"),
        ({"note": {"a": 1}}, "column 'note' expects one value"),
    ],
)
def test_a_value_of_the_wrong_type_names_the_column(encoder, row, change, message):
    with pytest.raises(DataError, match=message):
        encoder.encode(row | change)
    with pytest.raises(DataError, match=f"row 1: {message}"):
        encoder.encode([row, row | change])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": ["abc"]}, "column 'age' expects a number"),
        ({"age": np.array([[1.0]])}, "'age' must have one dimension"),
        ({"age": np.array(["2020-01-01"], dtype="M8[D]")}, "column 'age' expects a number"),
        ({"town": [["Ulm"]]}, "column 'town' expects one value"),
        ({"age": [1.0, 2.0]}, "'age' has 2"),
        ({"age": 1.0}, "column 'member' expects a number, got a value of type list"),
    ],
)
def test_a_column_of_the_wrong_type_is_named(encoder, columns, change, message):
    one = {name: values[:1] for name, values in columns.items()}
    with pytest.raises(DataError, match=message):
        encoder.encode(one | change)


@pytest.mark.parametrize(("name", "values"), [("age", ["abc"]), ("since", [5]), ("town", [["Ulm"]]), ("note", [b"x"])])
def test_a_table_column_of_the_wrong_type_is_named(encoder, columns, name, values):
    one = pa.table({key: column[:1] for key, column in columns.items()} | {name: values})
    with pytest.raises(DataError, match=f"column '{name}' expects"):
        encoder.encode(one)


@pytest.mark.parametrize("wrap", [dict, lambda row: [row, row], lambda row: pa.Table.from_pylist([row])])
def test_a_missing_column_gets_a_suggestion(encoder, row, wrap):
    row["tawn"] = row.pop("town")
    with pytest.raises(DataError, match=r"lacks the column 'town'.*Did you mean 'tawn'"):
        encoder.encode(wrap(row))


@pytest.mark.parametrize("wrap", [dict, lambda row: [row], lambda row: pa.Table.from_pylist([row])])
def test_a_missing_column_counts_as_missing_values_where_that_is_allowed(encoder, row, wrap):
    expected = encoder.encode(row | {"age": None, "note": None})
    del row["age"], row["note"]
    same(encoder.encode(wrap(row), strict=False), expected)


@pytest.mark.parametrize("data", [[], {"a": []}, None, 3, "nowhere.csv", np.zeros(3), [[1, 2], [1]]])
def test_what_is_no_table_says_so(encoder, data):
    with pytest.raises(DataError):
        encoder.encode(data)


# ---- keeping


def test_an_encoder_survives_json_and_pickle(encoder, columns):
    state, arrays = encoder.state()
    again = Encoder.from_state(json.loads(json.dumps(state)), arrays)
    for copy in (again, pickle.loads(pickle.dumps(encoder))):
        assert copy.columns == encoder.columns
        assert copy.names == encoder.names
        np.testing.assert_array_equal(copy.source, encoder.source)
        same(copy.encode(columns), encoder.encode(columns))


@pytest.mark.parametrize(
    "damage",
    [
        lambda state, arrays: state.pop("parts"),
        lambda state, arrays: state.update(format=99),
        lambda state, arrays: state.update(format="1"),
        lambda state, arrays: state.update(parts=[]),
        lambda state, arrays: state.update(inputs=["age"]),
        lambda state, arrays: state["parts"][0].update(kind="sound"),
        lambda state, arrays: state["parts"][2].update(levels=["a", "a"]),
        lambda state, arrays: state["parts"][2].update(levels="ab"),
        lambda state, arrays: state["parts"][4].update(origin=2**80),
        lambda state, arrays: state["parts"][4].update(parts=["century"]),
        lambda state, arrays: state["parts"][5].update(shapes=["colour"]),
        lambda state, arrays: arrays.pop("5.components"),
        lambda state, arrays: arrays.update({"5.idf": arrays["5.idf"][:-1]}),
        lambda state, arrays: arrays.update({"5.components": arrays["5.components"].astype(np.float64)}),
        lambda state, arrays: arrays.update({"5.buckets": arrays["5.buckets"] + np.int32(2**30)}),
        lambda state, arrays: arrays.update({"5.buckets": arrays["5.buckets"][::-1]}),
    ],
)
def test_a_damaged_state_is_refused(encoder, damage):
    state, arrays = encoder.state()
    state = json.loads(json.dumps(state))
    damage(state, arrays)
    with pytest.raises(DataError):
        Encoder.from_state(state, arrays)


def test_rows_and_arrays_are_encoded_without_arrow_or_any_training_library(encoder, row, tmp_path):
    state, arrays = encoder.state()
    (tmp_path / "state.json").write_text(json.dumps(state))
    np.savez(tmp_path / "arrays.npz", **arrays)
    row["since"] = str(row["since"])
    program = f"""
import json, sys, numpy as np
from pathlib import Path
from automl.encoder import Encoder
folder, row = Path({str(tmp_path)!r}), {row!r}
encoder = Encoder.from_state(json.loads((folder / "state.json").read_text()), dict(np.load(folder / "arrays.npz")))
for data in (row, [row, row], {{name: [value] for name, value in row.items()}}):
    encoder.encode(data)
loaded = {{"pyarrow", "pandas", "sklearn", "scipy", "pydantic"}} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True)
