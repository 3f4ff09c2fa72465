"""Files of several formats and shapes as one table in batches."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from automl import AutoML
from automl.encoder import Encoder
from automl.large.batches import open_batches
from automl.large.parts import find_files, open_parts
from automl.schema import describe
from automl.table import open_table
from automl_core import DataError
from automl_core.settings import Settings


def read(data: object, limit: int = 1 << 16) -> pa.Table:
    batches = open_batches(data, limit=limit, always=True)
    assert batches is not None
    first, second = pa.concat_tables(batches), pa.concat_tables(batches)
    assert first.equals(second)
    return first


def test_folders_become_columns(tmp_path: Path) -> None:
    for year, town in ((2024, "a"), (2024, "b c"), (2025, "a")):
        folder = tmp_path / f"year={year}/town={town}"
        folder.mkdir(parents=True)
        parquet.write_table(pa.table({"n": [1, 2]}), folder / "0.parquet")
    found = read(tmp_path)
    assert found.to_pydict() == open_table(tmp_path).to_pydict()
    assert found["year"].to_pylist() == [2024] * 4 + [2025] * 2


def test_columns_that_drift_are_brought_together(tmp_path: Path) -> None:
    day = pa.array([0], pa.timestamp("us"))
    tables = [
        {"a": pa.array([1], pa.int32()), "b": ["x"], "c": [1], "d": day},
        {"c": pa.array(["seven"]), "a": [0.5], "d": day.cast(pa.timestamp("ms"))},
        {"a": [2], "b": pa.array(["y"]).dictionary_encode(), "e": [True]},
    ]
    for number, columns in enumerate(tables):
        parquet.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    found = read(tmp_path)
    assert found.select(["a", "b", "c", "e"]).to_pydict() == {
        "a": [1.0, 0.5, 2.0], "b": ["x", None, "y"], "c": ["1", "seven", None], "e": [None, None, True],
    }  # fmt: skip
    assert found["d"].null_count == 1


@pytest.mark.parametrize("packed", [False, True])
def test_text_is_of_the_types_that_hold_all_values(tmp_path: Path, packed: bool) -> None:
    lines = [f"{i},{i},word" if i > 150_000 else f"{i},{i},{i}" for i in range(200_000)]
    lines[180_000] = "180000,0.5,word"
    texts = ["\n".join(["a,b,c", *lines, ""]), "a,b,d\n1.5,1,new\n"]
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.csv{'.gz' * packed}"
        path.write_bytes(gzip.compress(text.encode(), 1) if packed else text.encode())
    found = read(tmp_path, limit=1 << 24)
    assert found.num_rows == 200_001
    assert found.schema.types == [pa.float64(), pa.float64(), pa.string(), pa.string()]
    assert found["b"][180_000].as_py() == 0.5
    assert [found["c"][i].as_py() for i in (0, 199_999, 200_000)] == ["0", "word", None]
    assert found["d"].null_count == 200_000


def test_arrow_files_are_read_in_batches(tmp_path: Path) -> None:
    table = pa.table({"n": np.arange(10_000)})
    with pa.ipc.new_file(tmp_path / "1.arrow", table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_stream(tmp_path / "2.arrow", table.schema) as writer:
        writer.write_table(table)
    assert read(tmp_path)["n"].to_pylist() == [*range(10_000)] * 2


@pytest.mark.parametrize("name", ["1.parquet", "1.arrow", "1.csv"])
def test_damaged_file_is_named_or_left_out(tmp_path: Path, name: str) -> None:
    parquet.write_table(pa.table({"n": [1]}), tmp_path / "0.parquet")
    (tmp_path / name).write_bytes(b"" if name == "1.csv" else b"PAR1 and then nothing")
    with pytest.raises(DataError, match=rf"{name}'"):
        open_batches(tmp_path, limit=1)
    bad: list[str] = []
    assert [part.name for part in open_parts(find_files([str(tmp_path)]), bad=bad)] == [str(tmp_path / "0.parquet")]
    (told,) = bad
    assert name in told


def test_page_that_is_damaged_is_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"n": np.random.default_rng(0).normal(size=50_000)}), tmp_path / "1.parquet")
    data = bytearray((tmp_path / "1.parquet").read_bytes())
    data[4:20_000] = bytes(19_996)
    (tmp_path / "1.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"1\.parquet' cannot be read as parquet"):
        read(tmp_path)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes("a,b\n1,ä\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"1\.csv' is not UTF-8 in column 'b'"):
        read(tmp_path)


def test_row_groups_are_parts_that_cross_processes(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"n": np.arange(10_000)}), tmp_path / "1.parquet", row_group_size=1000)
    (whole,) = open_parts(find_files([str(tmp_path)]))
    parts = pickle.loads(pickle.dumps(list(whole.cut(2500))))
    assert [part.rows for part in parts] == [3000, 3000, 3000, 1000]
    tables = [table for part in parts for table in part.tables(700)]
    assert max(table.num_rows for table in tables) == 700
    assert pa.concat_tables(tables)["n"].to_pylist() == [*range(10_000)]


def test_coded_text_is_the_same_text(tmp_path: Path) -> None:
    towns = [{"town": ["x", None, "y", "x"]}, {"n": [1]}, {"town": [3, 4]}]
    for number, columns in enumerate(towns):
        parquet.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    parts = open_parts(find_files([str(tmp_path)]))
    plain = pa.concat_tables([table for part in parts for table in part.tables(3)])
    coded = [table for part in parts for table in part.with_coded(["town", "n"]).tables(3)]
    assert [value for table in coded for value in table["town"].to_pylist()] == plain["town"].to_pylist()
    assert [table["n"].type for table in coded] == [pa.int64()] * 4
    assert pa.types.is_dictionary(coded[0]["town"].type)
    encoder = Encoder.fit(plain, describe(plain))
    np.testing.assert_array_equal(np.concatenate([encoder.encode(table) for table in coded]), encoder.encode(plain))


def test_fit_of_text_in_folders_that_drift(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for year in (2024, 2025):
        x = rng.normal(size=(4000, 3))
        label = np.where(x[:, 0] + (year - 2024) + rng.normal(size=4000) > 0, "yes", "no")
        rows = [f"{a:.4f},{b:.4f},{c:.4f},{y}" for (a, b, c), y in zip(x, label, strict=True)]
        (tmp_path / f"year={year}").mkdir()
        text = "\n".join(["a,b,c,y", *rows, ""])
        (tmp_path / f"year={year}/1.csv").write_text(text if year == 2025 else text.replace("a,b,c,y", "a,b,old,y"))
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    engine = AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings, memory_limit=1 << 19)
    engine.fit(tmp_path, target="y")
    assert engine.model_.info["all_rows"] == 8000
    assert set(engine.model_.names) >= {"a", "b", "year"}
    assert engine.score(tmp_path) > 0.7


def test_small_text_is_not_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.csv").write_text("a\n1\n")
    monkeypatch.setattr("automl.large.parts.open_parts", lambda *a, **k: pytest.fail("the file was looked into"))
    assert open_batches(tmp_path, limit=1 << 20) is None
