from __future__ import annotations

import csv
import gzip
import io
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from automl_core import ComponentUnavailable, DataError, SettingsError
from automl_dask.processor import ChunkedDataProcessor
from automl_dask.progress import ChunkProgress
from automl_dask.rows import RowCutter


def transform_chunk(chunk: pd.DataFrame) -> pd.DataFrame:
    chunk["feature"] = chunk["a"] + chunk["b"]
    return chunk


def identity(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk


def write_csv(path: Path, rows: int, *, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"a": rng.integers(0, 1000, rows), "b": rng.normal(size=rows), "c": rng.choice(["x", "y, z"], rows)}
    )
    frame.to_csv(path, index=False)
    return frame


def unfinished(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "unfinished" in path.name or path.suffix == ".tmp"]


# ---- rows


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_cut_where_the_standard_library_ends_them(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr("automl_dask.rows.BLOCK", rng.randint(3, 40))
    rows = [["".join(rng.choices('ab,"\n ', k=rng.randint(0, 8))), str(i)] for i in range(60)]
    text = io.StringIO()
    csv.writer(text, lineterminator=rng.choice(["\n", "\r\n"])).writerows(rows)
    cutter, pieces, size = RowCutter(io.BytesIO(text.getvalue().encode())), [], rng.randint(1, 9)
    while piece := cutter.take(size):
        pieces.append(list(csv.reader(io.StringIO(piece.decode(), newline=""))))
    assert [len(piece) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert [row for piece in pieces for row in piece] == rows


def test_quote_that_nobody_closes_is_told_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_dask.rows.LONGEST_ROW", 1000)
    monkeypatch.setattr("automl_dask.rows.BLOCK", 100)
    with pytest.raises(DataError, match=r"from about byte 100: is a quote"):
        RowCutter(io.BytesIO(b'a,b\n1,2\n3,"' + b"x,y\n" * 1000)).take(5000)


# ---- CSV


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("chunk_size", [7, 100, 1000, 1_000_000])
def test_csv_is_what_one_pass_in_memory_writes(tmp_path: Path, workers: int, chunk_size: int) -> None:
    expected = transform_chunk(write_csv(tmp_path / "huge_file.csv", 1000))
    done = ChunkedDataProcessor(chunk_size=chunk_size, workers=workers).process_csv_in_chunks(
        input_path=str(tmp_path / "huge_file.csv"),
        output_path=str(tmp_path / "processed_file.csv"),
        transform_fn=transform_chunk,
    )
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "processed_file.csv"), expected)
    assert (done.rows_in, done.rows_out, done.chunks) == (1000, 1000, -(-1000 // chunk_size))
    assert unfinished(tmp_path) == []


def test_values_are_read_as_pandas_reads_them(tmp_path: Path) -> None:
    text = 'day,code,number,truth,text\n2024-01-01,007,1.50,True,NA\n,8,,False,"a ""b"", c"\n2024-02-30,9,1e400,,None\n'
    (tmp_path / "in.csv").write_text(text)
    seen: list[pd.DataFrame] = []
    ChunkedDataProcessor().process_csv_in_chunks(
        tmp_path / "in.csv",
        tmp_path / "out.csv",
        lambda chunk: seen.append(chunk.copy()) or chunk,  # type: ignore[func-returns-value]
    )
    expected = pd.read_csv(tmp_path / "in.csv")
    pd.testing.assert_frame_equal(seen[0].drop(columns="truth"), expected.drop(columns="truth"), check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), pd.read_csv(tmp_path / "in.csv"))


def test_named_types_keep_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("zip,n\n00501,1\n10001,2\n")
    ChunkedDataProcessor(1).process_csv_in_chunks(
        tmp_path / "in.csv", tmp_path / "out.csv", identity, dtypes={"zip": "str", "n": float}
    )
    assert pd.read_csv(tmp_path / "out.csv", dtype=str)["zip"].tolist() == ["00501", "10001"]


def test_function_may_drop_rows_and_return_arrow(tmp_path: Path) -> None:
    frame = write_csv(tmp_path / "in.csv", 100)
    done = ChunkedDataProcessor(9).process_csv_in_chunks(
        tmp_path / "in.csv", tmp_path / "out.csv", lambda c: pa.Table.from_pandas(c[c["a"] > 500], preserve_index=False)
    )
    assert len(pd.read_csv(tmp_path / "out.csv")) == done.rows_out == int((frame["a"] > 500).sum())


def test_file_without_rows_gives_a_header(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n")
    ChunkedDataProcessor().process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", transform_chunk)
    assert pd.read_csv(tmp_path / "out.csv").columns.tolist() == ["a", "b", "feature"]


def test_compressed_files_and_globs(tmp_path: Path) -> None:
    frames = [write_csv(tmp_path / f"part-{i}.csv", 50, seed=i) for i in range(3)]
    for path in sorted(tmp_path.glob("part-*.csv")):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    done = ChunkedDataProcessor(20).process_csv_in_chunks(
        f"{tmp_path}/part-*.csv.gz", tmp_path / "out.csv.gz", identity
    )
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv.gz"), pd.concat(frames, ignore_index=True))
    assert (done.files, done.chunks) == (3, 9)


def test_any_uri_in_and_out() -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/in.csv", b"a,b\n1,2\n3,4\n5,6\n")
    ChunkedDataProcessor(2).process_csv_in_chunks("memory://bucket/in.csv", "memory://bucket/out.csv", transform_chunk)
    assert system.cat_file("/bucket/out.csv").decode().replace('"', "") == "a,b,feature\n1,2,3\n3,4,7\n5,6,11\n"
    assert [path for path in system.find("/bucket") if "unfinished" in path] == []


def test_csv_becomes_parquet(tmp_path: Path) -> None:
    frame = write_csv(tmp_path / "in.csv", 100)
    ChunkedDataProcessor(30).process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.parquet", identity)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), frame)


def test_bad_row_is_told_with_its_text(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n3,4,5\n6,7\n")
    with pytest.raises(
        DataError, match=r"in\.csv', bytes 4 to 18: 1 bad rows, the first with 3 values instead of 2: 3,4,5"
    ):
        ChunkedDataProcessor().process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", identity)
    assert not (tmp_path / "out.csv").exists()


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n3,4,5\n6,7\n8\n")
    done = ChunkedDataProcessor(2).process_csv_in_chunks(
        tmp_path / "in.csv", tmp_path / "out.csv", identity, bad_rows="skip"
    )
    assert pd.read_csv(tmp_path / "out.csv")["a"].tolist() == [1, 6]
    assert (done.rows_in, done.bad_rows) == (2, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "has no header line"),
        (b"a,a\n1,2\n", "column names twice: 'a'"),
        ("a,b\n1,ä\n".encode("latin-1"), "column 'b' is not utf-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_file_that_cannot_be_read_is_told(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "in.csv").write_bytes(text)
    with pytest.raises(DataError, match=message):
        ChunkedDataProcessor().process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", identity)
    assert not (tmp_path / "out.csv").exists()


def test_file_with_other_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,2\n")
    (tmp_path / "2.csv").write_text("a,c\n1,2\n")
    with pytest.raises(DataError, match=r"2\.csv' has other columns .*added \['c'\], missing \['b'\]"):
        ChunkedDataProcessor().process_csv_in_chunks(f"{tmp_path}/?.csv", tmp_path / "out.csv", identity)


def test_missing_file_is_told_with_a_guess(tmp_path: Path) -> None:
    (tmp_path / "people.csv").touch()
    with pytest.raises(DataError, match=r"Did you mean 'people\.csv'"):
        ChunkedDataProcessor().process_csv_in_chunks(tmp_path / "peple.csv", tmp_path / "out.csv", identity)


def test_error_of_the_function_tells_the_chunk(tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv", 30)
    with pytest.raises(KeyError) as raised:
        ChunkedDataProcessor(10).process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", lambda c: c[["z"]])
    assert "in chunk 0" in raised.value.__notes__[0]
    assert not (tmp_path / "out.csv").exists()


def test_unknown_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="bad_rows is 'drop'"):
        ChunkedDataProcessor().process_csv_in_chunks("in.csv", "out.csv", identity, bad_rows="drop")


def test_progress_is_told_after_each_chunk(tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv", 100)
    told: list[ChunkProgress] = []
    ChunkedDataProcessor(40, progress=told.append).process_csv_in_chunks(
        tmp_path / "in.csv", tmp_path / "out.csv", identity
    )
    assert [progress.rows_in for progress in told] == [40, 80, 100]


# ---- interruptions

SCRIPT = """
import sys, time
from automl_dask.processor import ChunkedDataProcessor
def slow(chunk):
    time.sleep(0.05)
    chunk["feature"] = chunk["a"] + chunk["b"]
    return chunk
done = ChunkedDataProcessor(50, workers=int(sys.argv[3])).process_csv_in_chunks(sys.argv[1], sys.argv[2], slow)
print(done.resumed, done.chunks, done.rows_in, done.rows_out)
"""


def run(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("output", "workers"), [("out.csv", 1), ("out.csv", 2), ("out.parquet", 1), ("out", 2)])
def test_killed_run_goes_on_and_the_rows_match_exactly(tmp_path: Path, output: str, workers: int) -> None:
    expected = transform_chunk(write_csv(tmp_path / "in.csv", 2000))
    with run(tmp_path / "in.csv", tmp_path / output, workers) as first:
        state = tmp_path / f".{output}.unfinished/progress.json"
        deadline = time.monotonic() + 30
        while not (state.exists() and '"chunks": 1' in state.read_text()) and time.monotonic() < deadline:
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
    assert not (tmp_path / output).exists()
    with run(tmp_path / "in.csv", tmp_path / output, workers) as second:
        out, error = second.communicate(timeout=60)
    assert second.returncode == 0, error
    resumed, chunks, rows_in, rows_out = map(int, out.split())
    assert resumed > 0
    assert (chunks, rows_in, rows_out) == (40, 2000, 2000)
    read = pd.read_csv if output == "out.csv" else pd.read_parquet
    pd.testing.assert_frame_equal(read(tmp_path / output), expected)
    assert unfinished(tmp_path) == []


@pytest.mark.parametrize("change", ["input", "function", "chunk_size"])
def test_changed_run_starts_over(tmp_path: Path, change: str) -> None:
    def stop(chunk: pd.DataFrame) -> pd.DataFrame:
        if 25 in chunk["a"].to_numpy():
            raise RuntimeError("stop")
        return chunk

    pd.DataFrame({"a": range(30), "b": 0}).to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(RuntimeError, match="stop"):
        ChunkedDataProcessor(10).process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", stop)
    if change == "input":
        pd.DataFrame({"a": range(100, 140), "b": 0}).to_csv(tmp_path / "in.csv", index=False)
    size, function = (8 if change == "chunk_size" else 10), stop if change == "input" else identity
    done = ChunkedDataProcessor(size).process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", function)
    assert done.resumed == 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), pd.read_csv(tmp_path / "in.csv"))


def test_full_disk_leaves_nothing_under_the_final_name_and_can_go_on(tmp_path: Path) -> None:
    frame = write_csv(tmp_path / "in.csv", 2000)
    processor = ChunkedDataProcessor(100)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # files larger than this cannot be written
    try:
        with pytest.raises(ComponentUnavailable, match=r"no space left in .* \d+ chunks are safe"):
            processor.process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", identity)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert not (tmp_path / "out.csv").exists()
    done = processor.process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", identity)
    assert done.resumed > 0
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out.csv"), frame)


def test_two_processes_cannot_write_one_output(tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv", 2000)
    with run(tmp_path / "in.csv", tmp_path / "out.csv", 1) as first:
        while not (tmp_path / ".out.csv.unfinished/progress.json").exists():
            time.sleep(0.01)
        with pytest.raises(DataError, match="another process is writing"):
            ChunkedDataProcessor().process_csv_in_chunks(tmp_path / "in.csv", tmp_path / "out.csv", identity)
        first.kill()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    script = (
        "import resource, sys\nfrom automl_dask.processor import ChunkedDataProcessor\n"
        "ChunkedDataProcessor(20_000).process_csv_in_chunks(sys.argv[1], sys.argv[1] + '.csv', lambda c: c.assign(s=c.a))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for factor in (1, 8):
        path = tmp_path / f"{factor}.csv"
        with path.open("w") as file:
            file.write("a,b\n")
            block = "".join(f"{i},{'x' * 90}\n" for i in range(60_000))
            for _ in range(factor):
                file.write(block)
        done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    # 7 times 5.5 MB more of text.
    assert peaks[1] - peaks[0] < 20_000, peaks


# ---- Parquet


def write_parts(folder: Path, rows: int = 100, count: int = 3) -> pd.DataFrame:
    folder.mkdir(exist_ok=True)
    frames = [pd.DataFrame({"a": np.arange(i * rows, (i + 1) * rows), "b": 0.5}) for i in range(count)]
    for number, frame in enumerate(frames):
        frame.to_parquet(folder / f"{number}.parquet", row_group_size=30)
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("chunk_size", [7, 30, 45, 1000])
@pytest.mark.parametrize("output", ["out.parquet", "out", "out.csv"])
def test_parquet_is_what_one_pass_in_memory_writes(tmp_path: Path, output: str, chunk_size: int, workers: int) -> None:
    expected = transform_chunk(write_parts(tmp_path / "in"))
    done = ChunkedDataProcessor(chunk_size, workers=workers).process_parquet_in_chunks(
        tmp_path / "in", tmp_path / output, transform_chunk
    )
    read = pd.read_csv if output == "out.csv" else pd.read_parquet
    pd.testing.assert_frame_equal(read(tmp_path / output), expected)
    assert (done.rows_in, done.files) == (300, 3)


def test_parquet_to_a_folder_on_an_object_store(tmp_path: Path) -> None:
    expected = write_parts(tmp_path / "in")
    ChunkedDataProcessor(60).process_parquet_in_chunks(tmp_path / "in", "memory://lake/out", identity)
    system = fsspec.filesystem("memory")
    assert len(system.ls("/lake/out")) == 6
    pd.testing.assert_frame_equal(pd.read_parquet("memory://lake/out"), expected)


def test_columns_that_drift_are_brought_together(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": [0.5], "c": [True]}), tmp_path / "2.parquet")
    ChunkedDataProcessor().process_parquet_in_chunks(f"{tmp_path}/?.parquet", tmp_path / "out.parquet", identity)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table["a"].to_pylist() == [1.0, 2.0, 0.5]
    assert table["b"].to_pylist() == ["x", "y", None]


def test_columns_that_cannot_be_brought_together_are_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "1.parquet")
    parquet.write_table(pa.table({"a": ["x"]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"2\.parquet' does not fit .*'?a'?"):
        ChunkedDataProcessor().process_parquet_in_chunks(f"{tmp_path}/?.parquet", tmp_path / "out.parquet", identity)


@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_damaged_file_is_named_or_left_out(tmp_path: Path, damage: str) -> None:
    write_parts(tmp_path / "in", rows=20_000)
    path = tmp_path / "in/1.parquet"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2] if damage == "truncated" else b"PAR1" + bytes(20_000) + data[20_004:])
    with pytest.raises(DataError, match=r"1\.parquet'"):
        ChunkedDataProcessor(5000).process_parquet_in_chunks(tmp_path / "in", tmp_path / "out.parquet", identity)
    done = ChunkedDataProcessor(5000).process_parquet_in_chunks(
        tmp_path / "in", tmp_path / "out.parquet", identity, bad_files="skip"
    )
    kept = pd.read_parquet(tmp_path / "out.parquet")["a"]
    assert len(kept) == done.rows_out
    assert set(range(20_000)) | set(range(40_000, 60_000)) <= set(kept)
    assert done.bad_rows == 1


def test_type_that_changes_between_chunks_is_told(tmp_path: Path) -> None:
    write_parts(tmp_path / "in")
    with pytest.raises(DataError, match="chunk 1 does not fit the first one"):
        ChunkedDataProcessor(100).process_parquet_in_chunks(
            tmp_path / "in", tmp_path / "out.parquet", lambda c: c.assign(a="x") if c["a"].iloc[0] else c
        )


def test_existing_folder_is_kept(tmp_path: Path) -> None:
    write_parts(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").touch()
    with pytest.raises(DataError, match="exists"):
        ChunkedDataProcessor(100).process_parquet_in_chunks(tmp_path / "in", tmp_path / "out", identity)
    assert os.listdir(tmp_path / "out") == ["precious"]
