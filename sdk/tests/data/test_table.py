from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from automl.table import open_table, with_target
from automl_core import DataError


def test_an_arrow_table_goes_through_without_a_copy():
    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    opened = open_table(table)
    assert opened == table
    assert opened["a"].chunk(0).buffers()[1].address == table["a"].chunk(0).buffers()[1].address


def test_pandas_columns_keep_their_kind():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "whole": pd.array([1, None], dtype="Int64"),
            "category": pd.Categorical([10, 20]),
            "date": pd.to_datetime(["2020-01-01", None]),
            3: [1.5, float("nan")],
        },
        index=[7, 9],
    )
    table = open_table(frame)
    assert table.column_names == ["text", "whole", "category", "date", "3"]
    assert [table[name].null_count for name in table.column_names] == [1, 1, 0, 1, 1]
    assert pa.types.is_dictionary(table["category"].type)
    assert pa.types.is_timestamp(table["date"].type)


def test_a_pandas_column_of_several_types_becomes_text():
    pd = pytest.importorskip("pandas")
    table = open_table(pd.DataFrame({"a": ["x", 3, 2.0, None, True]}))
    assert table["a"].to_pylist() == ["x", "3", "2", None, "True"]


def test_polars_frames_and_lazy_frames_open():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pl.Series(["u", "v"], dtype=pl.Categorical)})
    assert open_table(frame).to_pylist() == frame.to_dicts()
    assert open_table(frame.lazy()).to_pylist() == frame.to_dicts()


def test_a_duckdb_relation_opens():
    duckdb = pytest.importorskip("duckdb")
    assert open_table(duckdb.sql("select 1 as a, 'x' as b")).to_pylist() == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: pa.RecordBatchReader.from_batches(b.schema, [b])])
def test_batches_and_readers_open(wrap):
    batch = pa.RecordBatch.from_pydict({"a": [1, 2]})
    assert open_table(wrap(batch)).to_pydict() == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.array([[1.0, 2.0], [3.0, 4.0]]), {"x0": [1.0, 3.0], "x1": [2.0, 4.0]}),
        (np.array([(1, "a")], dtype=[("n", "i4"), ("s", "U1")]), {"n": [1], "s": ["a"]}),
        ([[1, "a"], [2, "b"]], {"x0": [1, 2], "x1": ["a", "b"]}),
        ({"a": [1, 2], "b": np.array([1.5, 2.5])}, {"a": [1, 2], "b": [1.5, 2.5]}),
        ({"a": 1, "b": "x"}, {"a": [1], "b": ["x"]}),
        ([{"a": 1}, {"b": "x"}], {"a": [1, None], "b": [None, "x"]}),
    ],
    ids=["numpy", "structured", "rows", "columns", "one row", "dicts"],
)
def test_python_and_numpy_data_open(data, expected):
    assert open_table(data).to_pydict() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([Decimal("1.5"), None], [1.5, None]),
        ([dt.timedelta(minutes=1)], [60.0]),
        ([dt.time(1, 0, 1)], [3601.0]),
        ([2**70, 1], [float(2**70), 1.0]),
        ([True, 2], [1.0, 2.0]),
        ([dt.date(2020, 1, 1), dt.datetime(2020, 1, 2, 3)], ["2020-01-01", "2020-01-02T03:00:00"]),
        ([dt.date(2020, 1, 1), 5], ["2020-01-01", "5"]),
        ([dt.date(2020, 1, 1), float("nan")], [dt.date(2020, 1, 1), None]),
        ([Decimal("1.5"), 2.5], [1.5, 2.5]),
        (["a", "\ud800"], ["a", "?"]),
    ],
    ids=[
        "decimal",
        "duration",
        "time",
        "huge",
        "truths and numbers",
        "dates and times",
        "date and number",
        "date and NaN",
        "decimal and float",
        "surrogate",
    ],
)
def test_unusual_values_become_plain_ones(values, expected):
    assert open_table({"a": values})["a"].to_pylist() == expected


@pytest.mark.parametrize("kind", ["M8[D]", "M8[M]", "M8[h]", "M8[ns]"])
def test_numpy_dates_of_every_unit_open(kind):
    table = open_table({"d": np.array(["2021-03-01", "2022-04-01"], dtype=kind)})
    assert [str(v)[:10] for v in table["d"].to_pylist()] == ["2021-03-01", "2022-04-01"]


def test_views_encoded_runs_and_extensions_become_plain_types():
    table = pa.table(
        {
            "view": pa.array(["a", "b"], type=pa.string_view()),
            "runs": pa.RunEndEncodedArray.from_arrays([1, 2], [5, 6]),
            "extension": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", "2"])),
            "half": pa.array(np.array([1, 2], dtype=np.float16)),
        }
    )
    assert [str(kind) for kind in open_table(table).schema.types] == ["string", "int64", "string", "float"]


def test_columns_are_selected_in_the_order_asked():
    assert open_table({"a": [1], "b": [2], "c": [3]}, columns=["c", "a"]).column_names == ["c", "a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a NoneType is no table"),
        ([], "no rows"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
        (np.zeros((0, 2)), "no rows"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((1, 1), dtype=complex), "complex"),
        ([1, 2], "a list of int"),
        ([[1], [1, 2]], "rows differ in length"),
        ({"a": [1], "b": [1, 2]}, "'b' has 2"),
        ({"a": [1], "b": 2}, "must be an array or a list"),
        (pa.table([[1], [2]], names=["a", "a"]), "more than once: 'a'"),
    ],
)
def test_what_is_no_table_says_so(data, message):
    with pytest.raises(DataError, match=message):
        open_table(data)


def test_duplicate_pandas_columns_are_named():
    pd = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="'a'"):
        open_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_sparse_matrix_says_the_way_out():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(DataError, match="toarray"):
        open_table(sparse.eye(3).tocsr())


def test_an_unknown_column_gets_a_suggestion():
    with pytest.raises(DataError, match=r"'agee'.*Did you mean 'age'"):
        open_table({"age": [1]}, columns=["agee"])


def test_a_target_beside_the_table_is_appended():
    table, name = with_target({"a": [1, 2]}, ["x", "y"])
    assert (name, table.to_pydict()) == ("target", {"a": [1, 2], "target": ["x", "y"]})


def test_a_series_gives_the_target_its_name():
    pd = pytest.importorskip("pandas")
    assert with_target({"a": [1]}, pd.Series([1], name="y"))[1] == "y"


def test_the_target_does_not_hide_a_column_of_the_same_name():
    assert with_target({"target": [1]}, [2])[1] == "target_"


@pytest.mark.parametrize(("y", "name", "message"), [([1], None, "y has 1"), ([1, 2], "a", "already")])
def test_a_target_that_does_not_fit_says_so(y, name, message):
    with pytest.raises(DataError, match=message):
        with_target({"a": [1, 2]}, y, name=name)
