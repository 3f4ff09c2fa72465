from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from automl.table import open_table
from automl_core import DataError

ROWS = [{"n": 1, "s": "a,b"}, {"n": 2, "s": "line\nbreak"}, {"n": None, "s": None}]
TABLE = pa.Table.from_pylist(ROWS)
CSV = 'n,s\n1,"a,b"\n2,"line\nbreak"\n,\n'
LINES = "\n".join(json.dumps(row) for row in ROWS)


def write(path, fmt):
    if fmt == "csv":
        path.write_text(CSV)
    elif fmt == "csv.gz":
        path.write_bytes(gzip.compress(CSV.encode()))
    elif fmt == "csv.zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(CSV.encode())
    elif fmt == "tsv":
        path.write_text(CSV.replace("a,b", "a;b").replace(",", "\t").replace("a;b", "a,b"))
    elif fmt == "parquet":
        pyarrow.parquet.write_table(TABLE, path)
    elif fmt == "feather":
        pyarrow.feather.write_feather(TABLE, str(path))
    elif fmt == "arrow":
        with pa.ipc.new_stream(str(path), TABLE.schema) as writer:
            writer.write_table(TABLE)
    elif fmt == "json":
        path.write_text(json.dumps(ROWS))
    else:
        path.write_text(LINES)


@pytest.mark.parametrize(
    "fmt", ["csv", "csv.gz", "csv.zst", "tsv", "parquet", "feather", "arrow", "json", "jsonl", "ndjson"]
)
def test_every_format_reads_the_same(tmp_path, fmt):
    path = tmp_path / f"table.{fmt}"
    write(path, fmt)
    assert open_table(path).to_pylist() == ROWS
    assert open_table(f"file://{path}", columns=["s"]).column_names == ["s"]


@pytest.mark.parametrize("kind", ["folder", "glob", "list"])
def test_several_files_become_one_table(tmp_path, kind):
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("a,b\n2.5,y\n")
    (tmp_path / "_log.csv").write_text("other\n1\n")
    source = {"folder": tmp_path, "glob": str(tmp_path / "[0-9].csv"), "list": [tmp_path / "1.csv", tmp_path / "2.csv"]}
    assert open_table(source[kind]).to_pydict() == {"a": [1.0, 2.5], "b": ["x", "y"]}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    path = tmp_path / "a.csv"
    path.write_text(separator.join(["a", '"b,c"', "d"]) + "\n" + separator.join(["1", "2", "3"]) + "\n")
    assert open_table(path).to_pydict() == {"a": [1], "b,c": [2], "d": [3]}


@pytest.mark.parametrize(("late", "expected"), [("2.5", pa.float64()), ("word", pa.string())])
def test_a_csv_type_that_fails_late_is_widened(tmp_path, late, expected):
    path = tmp_path / "a.csv"
    path.write_text("n,m\n" + "1,1\n" * 400_000 + f"{late},1\n")
    table = open_table(path)
    assert table["n"].type == expected
    assert table["m"].type == pa.int64()
    assert table["n"][-1].as_py() in (2.5, "word")


def test_words_for_missing_are_missing_in_a_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,s\n1,NA\n?,b\nNaN,\n")
    assert open_table(path).to_pydict() == {"n": [1, None, None], "s": [None, "b", None]}


def test_a_csv_that_is_not_utf8_names_the_place_and_the_way_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("n,town\n1,Ulm\n2,Köln\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"0xf6 in column 'town', data row 2.*latin-1"):
        open_table(path)
    assert open_table(path, encoding="latin-1")["town"].to_pylist() == ["Ulm", "Köln"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_understood(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,ö\n", encoding=encoding)
    assert open_table(path).to_pydict() == {"a": [1], "b": ["ö"]}


def test_json_whose_types_change_from_line_to_line_becomes_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": "x"}\n')
    assert open_table(path)["a"].to_pylist() == ["1", "x"]


def cut(path):
    pyarrow.parquet.write_table(TABLE, path)
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.parquet", cut, "cannot be read as parquet"),
        ("a.parquet", lambda path: path.write_bytes(b""), "cannot be read as parquet"),
        ("a.arrow", lambda path: path.write_bytes(b"ARROW1garbage"), "cannot be read as arrow"),
        ("a.csv", lambda path: path.write_text(""), "is empty"),
        ("a.csv", lambda path: path.write_text("a,b\n"), "no rows"),
        ("a.csv", lambda path: path.write_text("a,b\n1,2\n3\n"), "Expected 2 columns, got 1"),
        ("a.csv", lambda path: path.write_text("a,a\n1,2\n"), "more than once: 'a'"),
        ("a.csv", lambda path: path.write_bytes(b"a\xf6,b\n1,2\n"), "cannot be read as csv"),
        ("a.csv.gz", lambda path: path.write_bytes(gzip.compress(b"a,b\n1,2\n")[:-9]), "cannot be read as csv"),
        ("a.json", lambda path: path.write_text("[1, 2]"), "one JSON object per row"),
        ("a.jsonl", lambda path: path.write_text('{"a": 1'), "cannot be read as jsonl"),
        ("a.xyz", lambda path: path.write_text("a"), "unknown format '.xyz'"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(DataError, match=message):
        open_table(path)


def test_a_missing_file_gets_a_suggestion(tmp_path):
    (tmp_path / "train.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"Did you mean 'train.csv'"):
        open_table(tmp_path / "trian.csv")
    with pytest.raises(DataError, match="does not exist"):
        open_table(tmp_path / "nowhere" / "a.csv")


def test_files_that_do_not_fit_together_say_so(tmp_path):
    (tmp_path / "1.csv").write_text("a\n1\n")
    (tmp_path / "2.csv").write_text("a\nx\n")
    with pytest.raises(DataError, match="differ in their columns"):
        open_table(tmp_path)


def test_a_folder_without_data_says_so(tmp_path):
    with pytest.raises(DataError, match="no file of a known format"):
        open_table(tmp_path)


def test_a_uri_is_read_through_fsspec():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/tables/1.csv", b"a,b\n1,x\n")
    memory.pipe("/tables/2.csv", b"a,b\n2,y\n")
    memory.pipe("/tables/3.parquet", b"no")
    assert open_table("memory://tables/1.csv").to_pydict() == {"a": [1], "b": ["x"]}
    assert open_table("memory://tables/*.csv")["a"].to_pylist() == [1, 2]
    with pytest.raises(DataError, match="no file at"):
        open_table("memory://tables/4.csv")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        open_table("memory://tables/3.parquet")


def test_an_unknown_scheme_says_so():
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match="nope"):
        open_table("nope://bucket/a.csv")
