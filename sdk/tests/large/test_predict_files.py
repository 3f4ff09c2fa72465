"""Predictions from files to a folder of files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from automl import AutoML, Model
from automl.cli.app import cli
from automl.large.predict import RECORD, predict_files
from automl.table import open_table
from automl_core import DataError, Plugins
from automl_core.settings import Settings


@pytest.fixture(scope="module")
def model() -> Model:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    engine = AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings)
    return engine.fit(
        {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": np.where(x[:, 0] > 0, "yes", "no")}, target="y"
    ).model_


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    (tmp_path / "in").mkdir()
    for number in range(6):
        x = rng.normal(size=(500, 3))
        table = pa.table({"id": np.arange(500) + 500 * number, **{name: x[:, i] for i, name in enumerate("abc")}})
        parquet.write_table(table, tmp_path / f"in/{number}.parquet", row_group_size=100)
    return tmp_path / "in"


def on(executor: str) -> Plugins:
    return Plugins(Settings(executor=executor), threads=2)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_every_row_is_predicted_in_order(model: Model, data: Path, tmp_path: Path, executor: str) -> None:
    done = predict_files(model, data, tmp_path / "out", proba=True, keep=["id"], plugins=on(executor))
    found, whole = open_table(tmp_path / "out"), open_table(data)
    assert (done.rows, done.files, done.parts, done.resumed) == (3000, 6, 6, 0)
    assert found["id"].to_pylist() == [*range(3000)]
    assert found["y"].to_pylist() == model.predict(whole).tolist()
    np.testing.assert_array_equal(found["probability_yes"].to_numpy(), model.predict_proba(whole)[:, 1])
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_row_groups_are_parts_of_their_own(
    model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl.large.predict.PART_ROWS", 200)
    done = predict_files(model, data, tmp_path / "out", keep=["id"], plugins=on("threads"))
    assert done.parts == 18
    assert open_table(tmp_path / "out")["id"].to_pylist() == [*range(3000)]


def test_a_second_call_has_nothing_to_do(model: Model, data: Path, tmp_path: Path) -> None:
    predict_files(model, data, tmp_path / "out", plugins=on("serial"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = predict_files(model, data, tmp_path / "out", plugins=on("serial"))
    assert (again.rows, again.resumed) == (3000, 6)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}


def test_folder_of_something_else_is_kept(model: Model, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/precious").touch()
    with pytest.raises(DataError, match="exists already: remove it"):
        predict_files(model, data, tmp_path / "out", plugins=on("serial"))
    assert os.listdir(tmp_path / "out") == ["precious"]


SCRIPT = """
import sys, time
from automl import load_model
from automl.large import predict
from automl_core import Plugins
from automl_core.settings import Settings
said = predict._said
def slow(*arguments):
    time.sleep(0.3)
    return said(*arguments)
predict._said = slow
predict.EVERY = 0
predict.predict_files(load_model(sys.argv[1]), sys.argv[2], sys.argv[3], keep=["id"],
                      plugins=Plugins(Settings(executor="serial")))
"""


def test_killed_run_goes_on_and_the_rows_match_exactly(model: Model, data: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "m.automl")
    out, record = tmp_path / "out", tmp_path / ".out.unfinished" / RECORD
    with subprocess.Popen([sys.executable, "-c", SCRIPT, tmp_path / "m.automl", data, out]) as process:
        while process.poll() is None and not (record.exists() and '"1": 500' in record.read_text()):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    from automl import load_model

    done = predict_files(load_model(tmp_path / "m.automl"), data, out, keep=["id"], plugins=on("serial"))
    assert 2 <= done.resumed < 6
    assert open_table(out)["id"].to_pylist() == [*range(3000)]
    assert not record.exists()


@pytest.mark.parametrize("change", ["file", "argument"])
def test_changed_run_starts_over(model: Model, data: Path, tmp_path: Path, change: str) -> None:
    good = (data / "5.parquet").read_bytes()
    (data / "5.parquet").write_bytes(good[:8] + bytes(2000) + good[2008:])
    with pytest.raises(DataError, match=r"5\.parquet' cannot be read"):
        predict_files(model, data, tmp_path / "out", plugins=on("serial"))
    if change == "file":
        (data / "5.parquet").write_bytes(good)
    done = predict_files(model, data, tmp_path / "out", bad_files="skip", plugins=on("serial"))
    assert done.resumed == 0
    assert done.rows == (3000 if change == "file" else 2500)


@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_damaged_file_is_named_or_left_out(model: Model, data: Path, tmp_path: Path, damage: str) -> None:
    path = data / "3.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:1000] if damage == "truncated" else whole[:8] + bytes(2000) + whole[2008:])
    with pytest.raises(DataError, match=r"3\.parquet' cannot be read as parquet"):
        predict_files(model, data, tmp_path / "out", plugins=on("threads"))
    assert not (tmp_path / "out").exists()
    done = predict_files(model, data, tmp_path / "out", keep=["id"], bad_files="skip", plugins=on("threads"))
    assert "3.parquet" in done.bad_files[0]
    assert open_table(tmp_path / "out")["id"].to_pylist() == [*range(1500), *range(2000, 3000)]


def test_full_disk_leaves_nothing_under_the_final_name_and_can_go_on(model: Model, data: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(2).normal(size=(20_000, 3))
    table = pa.table({"id": np.arange(3000, 23_000), **{name: x[:, i] for i, name in enumerate("abc")}})
    parquet.write_table(table, data / "6.parquet")
    arguments = {"proba": True, "keep": ["id"], "plugins": on("serial")}
    limits, old = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))  # files larger than this cannot be written
    try:
        with pytest.raises(DataError, match="cannot be written"):
            predict_files(model, data, tmp_path / "out", **arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert not (tmp_path / "out").exists()
    done = predict_files(model, data, tmp_path / "out", **arguments)
    assert done.resumed == 6
    assert open_table(tmp_path / "out")["id"].to_pylist() == [*range(23_000)]


def test_command_writes_a_folder(model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_EXECUTOR", "serial")
    model.save("m.automl")
    done = CliRunner().invoke(cli, ["predict", "m.automl", "in", "--out", "out/", "--keep", "id"])
    assert done.exit_code == 0, done.output
    assert "3000 rows of 6 files into out/" in done.output
    assert open_table("out").column_names == ["id", "y"]
    refused = CliRunner().invoke(cli, ["predict", "m.automl", "in", "--keep", "id"])
    assert "go with a folder" in refused.output


@pytest.mark.parametrize(("keep", "message"), [(["iid"], "Did you mean .id."), (["y"], "cannot be kept")])
def test_column_that_cannot_be_kept_is_told(
    model: Model, data: Path, tmp_path: Path, keep: list[str], message: str
) -> None:
    if keep == ["y"]:
        for path in data.iterdir():
            table = parquet.read_table(path)
            parquet.write_table(table.append_column("y", table["id"]), path)
    with pytest.raises(DataError, match=message):
        predict_files(model, data, tmp_path / "out", keep=keep, plugins=on("serial"))
