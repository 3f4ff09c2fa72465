from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import compute, parquet

from automl_core import ComponentUnavailable, Context, DataError, SettingsError, Storage, Tabular
from automl_core.testing import PluginConformance, StorageConformance

pytest.importorskip("duckdb")
pytest.importorskip("automl_duckdb")
from automl_duckdb.plugin import build_storage
from automl_duckdb.storage import DuckDBStorage

ROWS: dict[str, list[Any]] = {"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, -2.0]}
CSV = b"a,b,c\n1,x,0.5\n2,,1.5\n3,z,-2.0\n"
JSON = b'{"a":1,"b":"x","c":0.5}\n{"a":2,"b":null,"c":1.5}\n{"a":3,"b":"z","c":-2.0}\n'


class TestPlugin(PluginConformance):
    plugin = "duckdb"


class TestStorage(StorageConformance):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Storage]:
        with DuckDBStorage(tmp_path / "deep" / "s.duckdb") as storage:
            yield storage

    @pytest.fixture
    def another(self, tmp_path: Path) -> Callable[[], Storage]:
        return lambda: DuckDBStorage(tmp_path / "deep" / "s.duckdb")


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DuckDBStorage]:
    with DuckDBStorage(tmp_path / "s.duckdb") as storage:
        yield storage


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys, os\nfrom automl_duckdb.storage import DuckDBStorage\n" + code
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_second_process_is_told_what_to_do(storage: DuckDBStorage) -> None:
    storage.append("log", b"mine")
    done = run("DuckDBStorage(sys.argv[1]).append('log', b'theirs')", storage.path)
    assert done.returncode == 1
    assert "ComponentUnavailable" in done.stderr
    assert "is open in another process" in done.stderr
    assert "storage = 'file'" in done.stderr
    assert list(storage.read("log")) == [(1, b"mine")]


def test_what_append_returned_from_survives_the_death_of_the_process(storage: DuckDBStorage) -> None:
    done = run("s = DuckDBStorage(sys.argv[1]); s.append('log', b'a'); s.put('k', b'b'); os._exit(9)", storage.path)
    assert done.returncode == 9, done.stderr
    assert list(storage.read("log")) == [(1, b"a")]
    assert storage.open("k").read() == b"b"


def test_file_is_free_after_close(storage: DuckDBStorage) -> None:
    storage.append("log", b"mine")
    storage.close()
    assert run("DuckDBStorage(sys.argv[1]).append('log', b'theirs')", storage.path).returncode == 0
    assert [record for _, record in storage.read("log")] == [b"mine", b"theirs"]


def test_link_leads_to_the_same_database(storage: DuckDBStorage, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with DuckDBStorage(tmp_path / "link" / "s.duckdb") as other:
        assert [one.append("log", b"x") for one in (storage, other, storage)] == [1, 2, 3]


def test_nothing_is_written_before_the_first_use(tmp_path: Path) -> None:
    with build_storage(Context("duckdb", directory=str(tmp_path / "files"))):
        assert not list(tmp_path.iterdir())


def test_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database " * 1000)
    with DuckDBStorage(tmp_path / "notes.txt") as storage, pytest.raises(ComponentUnavailable, match=r"notes\.txt"):
        storage.append("log", b"x")
    assert (tmp_path / "notes.txt").read_text().startswith("no database")


def test_wrong_limit_is_refused() -> None:
    with pytest.raises(SettingsError, match="MEMORY"):
        build_storage(Context("duckdb", {"memory": "much"}))


# ---- data sets


def write(path: Path, data: bytes | pa.Table = CSV) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, pa.Table):
        parquet.write_table(data, path, row_group_size=1)
    else:
        path.write_bytes(data)
    return path


FILES = {
    "t.csv": CSV,
    "t.csv.gz": gzip.compress(CSV),
    "t.tsv": CSV.replace(b",", b"\t"),
    "t.jsonl": JSON,
    "t.parquet": pa.table(ROWS),
    "one [of] two*.csv": CSV,
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_table(storage: DuckDBStorage, tmp_path: Path, name: str) -> None:
    assert isinstance(storage, Tabular)
    assert storage.table(str(write(tmp_path / name, FILES[name]))).to_table().to_pydict() == ROWS


def test_data_set_can_be_scanned_again_and_filtered(storage: DuckDBStorage, tmp_path: Path) -> None:
    dataset = storage.table(write(tmp_path / "t.parquet", pa.table(ROWS)).as_uri())
    assert dataset.to_table(filter=compute.field("a") > 1)["b"].to_pylist() == [None, "z"]
    assert dataset.count_rows() == 3


def test_columns_and_rows_are_chosen_while_reading(storage: DuckDBStorage, tmp_path: Path) -> None:
    path = str(write(tmp_path / "t.parquet", pa.table(ROWS)))
    chosen = storage.table(path, columns=["c", "b"], where="a >= 2 and c < 0").to_table()
    assert chosen.to_pydict() == {"c": [-2.0], "b": ["z"]}


def test_column_that_is_not_named_is_not_read(storage: DuckDBStorage, tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", pa.table(ROWS))
    damaged = parquet.read_metadata(path).row_group(0).column(1)
    body = bytearray(path.read_bytes())
    start = damaged.dictionary_page_offset or damaged.data_page_offset
    body[start : start + damaged.total_compressed_size] = b"\xff" * damaged.total_compressed_size
    path.write_bytes(body)
    assert storage.table(str(path), columns=["a", "c"]).to_table()["a"].to_pylist() == [1, 2, 3]
    assert storage.table(str(path), where="a > 1").to_table()["b"].to_pylist() == [None, "z"]
    with pytest.raises(DataError, match="cannot be read"):
        storage.table(str(path))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_partitions_of_text_become_columns(storage: DuckDBStorage, tmp_path: Path, name: str) -> None:
    write(tmp_path / "data" / "city=Bern" / name, FILES[name])
    assert storage.table(str(tmp_path / "data")).to_table().to_pydict() == {**ROWS, "city": ["Bern"] * 3}


@pytest.mark.parametrize("source", ["", "year=*/part.*", "year=*"])
def test_partitions_become_columns_and_are_skipped(storage: DuckDBStorage, tmp_path: Path, source: str) -> None:
    for year in (2024, 2025):
        write(tmp_path / f"data/year={year}/part.parquet", pa.table({"a": [year % 10]}))
    write(tmp_path / "data/_SUCCESS", b"")
    uri = str(tmp_path / "data" / source)
    assert storage.table(uri).to_table().sort_by("a").to_pydict() == {"a": [4, 5], "year": [2024, 2025]}
    assert storage.table(uri, where="year = 2025", columns=["a"]).to_table().to_pydict() == {"a": [5]}


def test_files_that_differ_have_the_columns_of_all(storage: DuckDBStorage, tmp_path: Path) -> None:
    write(tmp_path / "data/1.csv", b"a,b\n1,2\n")
    write(tmp_path / "data/2.csv", b"a,c\n1.5,x\n")
    rows = storage.table(str(tmp_path / "data")).to_table().sort_by("a").to_pydict()
    assert rows == {"a": [1.0, 1.5], "b": [2, None], "c": [None, "x"]}


@pytest.mark.parametrize("name", ["nothing", "nothing.csv", "nothing-*.csv"])
def test_missing_file_is_a_data_error(storage: DuckDBStorage, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="there is no file at"):
        storage.table(str(tmp_path / name))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["aa"]}, r"lacks the column aa.* Did you mean 'a'"),
        ({"where": "aa > 1"}, "cannot be read: .*aa"),
        ({"where": "a >"}, "cannot be read: .*syntax"),
    ],
)
def test_wrong_column_or_condition_is_a_data_error(
    storage: DuckDBStorage, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "t.parquet", pa.table(ROWS))
    with pytest.raises(DataError, match=message):
        storage.table(str(path), **options)


def test_mixed_unknown_and_distant_data_is_refused(storage: DuckDBStorage, tmp_path: Path) -> None:
    write(tmp_path / "data/1.csv")
    write(tmp_path / "data/2.parquet", pa.table(ROWS))
    with pytest.raises(DataError, match="not csv, parquet"):
        storage.table(str(tmp_path / "data"))
    with pytest.raises(DataError, match="not unknown"):
        storage.table(str(write(tmp_path / "t.xyz")))
    with pytest.raises(DataError, match="automl-s3"):
        storage.table("s3://bucket/t.parquet")


def test_reading_leaves_the_database_alone(storage: DuckDBStorage, tmp_path: Path) -> None:
    storage.table(str(write(tmp_path / "t.csv")))
    assert not storage.path.exists()
