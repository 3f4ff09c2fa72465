"""A backup made while all goes on is one moment, and comes back whole or not at all."""

from __future__ import annotations

import io
import json
import sqlite3
import stat
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl.backup import MANIFEST, back_up, restore
from automl.cli.app import cli
from automl.service.ledger import Ledger, Prediction
from automl_core import DataError


def make_directory(directory: Path) -> Path:
    """A journal with a record that is being written, a model, a database, and what is no part of a backup."""
    for name, data in {
        "models/income.jsonl": b'{"file": "m"}\n{"file": "n"}\n{"fi',
        "models/files/m": bytes(range(256)) * 5000,
        "tmp/half": b"x",
        "logs/Köln study.jsonl": b"{}\n",
        "empty": b"",
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    with closing(sqlite3.connect(directory / "mlflow.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("create table runs (id integer primary key)")
        database.execute("insert into runs values (1), (2)")
        database.commit()
    return directory


def content(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_directory(tmp_path / "state")


@pytest.fixture
def saved(directory: Path, tmp_path: Path) -> Path:
    back_up(directory, tmp_path / "saved.tar")
    return tmp_path / "saved.tar"


def test_secrets_stay_secret_in_the_backup_and_after_it(directory, tmp_path) -> None:
    for name, mode in (("secret", 0o600), ("shared", 0o644)):
        (directory / name).touch()
        (directory / name).chmod(mode)
    back_up(directory, tmp_path / "saved.tar")
    restore(tmp_path / "saved.tar", tmp_path / "after")
    modes = {
        name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("saved.tar", "after/secret", "after/shared")
    }
    assert modes == {"saved.tar": 0o600, "after/secret": 0o600, "after/shared": 0o644}


def test_everything_comes_back_but_what_was_half_written(directory, saved, tmp_path) -> None:
    assert restore(saved, tmp_path / "new") == 5
    before, after = content(directory), content(tmp_path / "new")
    assert after.keys() == before.keys() - {"tmp/half", "mlflow.db-wal", "mlflow.db-shm"}
    assert after["models/income.jsonl"] == b'{"file": "m"}\n{"file": "n"}\n'
    same = after.keys() - {"models/income.jsonl", "mlflow.db"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    with closing(sqlite3.connect(tmp_path / "new/mlflow.db")) as database:
        assert database.execute("select count(*) from runs").fetchone() == (2,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "saved.tar", "state"]


def test_what_is_written_meanwhile_is_in_it_or_not_but_never_half(tmp_path) -> None:
    directory, stop, made = tmp_path / "state", threading.Event(), 0
    (directory / "files").mkdir(parents=True)
    ledger = Ledger(directory / "rows.sqlite")

    def write() -> None:
        nonlocal made
        while not stop.wait(0.002):
            (directory / "files" / str(made)).write_bytes(bytes(1000))
            with (directory / "models.jsonl").open("a") as journal:
                journal.write(json.dumps({"file": str(made)}) + "\n")
            ledger.record([Prediction(f"r{made}", "m", "1", 0.0, {"x": [made]}, [made])])
            made += 1
            if made % 10 == 5:  # what is deleted while it is copied is no fault
                (directory / "files" / "passing").touch()
            elif made % 10 == 6:
                (directory / "files" / "passing").unlink()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for turn in range(4):
            before = made
            while made < before + 3:
                assert thread.is_alive()
                time.sleep(0.001)
            back_up(directory, tmp_path / f"{turn}.tar")
            restore(tmp_path / f"{turn}.tar", tmp_path / str(turn))
            lines = (tmp_path / str(turn) / "models.jsonl").read_text().splitlines()
            named = {json.loads(line)["file"] for line in lines}
            assert len(named) >= before + 2
            assert named <= {path.name for path in (tmp_path / str(turn) / "files").iterdir()}
            with closing(sqlite3.connect(tmp_path / str(turn) / "rows.sqlite")) as database:
                assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    finally:
        stop.set()
        thread.join()
        ledger.close()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    middle = data.index(bytes(range(256)))
    return data[:middle] + b"\xff" + data[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda _: b"no archive", lambda _: b""], ids=["cut", "flip", "other", "empty"]
)
def test_damaged_backup_touches_nothing(saved, tmp_path, damage: Callable[[bytes], bytes]) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(DataError, match=r"damaged|cut"):
        restore(saved, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["saved.tar", "state"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil"])
def test_file_outside_of_the_directory_is_refused(tmp_path, name) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        for member, data in ((name, b"x"), (MANIFEST, json.dumps({"format": 1, "files": {name: ""}}).encode())):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(DataError, match="outside"):
        restore(tmp_path / "evil.tar", tmp_path / "deep/er/new")
    assert list(tmp_path.rglob("evil")) == []


def test_directory_in_use_is_left_alone(directory, saved) -> None:
    before = content(directory)
    with pytest.raises(DataError, match="not empty"):
        restore(saved, directory)
    assert content(directory) == before


def test_backup_of_nothing_or_into_itself_is_told(directory, tmp_path) -> None:
    with pytest.raises(DataError, match="nothing to back up"):
        back_up(tmp_path / "none", tmp_path / "b.tar")
    with pytest.raises(DataError, match="part of itself"):
        back_up(directory, directory / "b.tar")
    assert list(tmp_path.glob("*.tar*")) == []


def test_commands_take_the_directory_of_the_settings(directory, tmp_path, monkeypatch) -> None:
    file = str(tmp_path / "b.tar")
    monkeypatch.setenv("AUTOML_DIRECTORY", str(directory))
    done = CliRunner().invoke(cli, ["backup", file])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(cli, ["restore", file]).exit_code == 1
    done = CliRunner().invoke(cli, ["restore", file, "--into", str(tmp_path / "drill")])
    assert done.exit_code == 0, done.output
    monkeypatch.setenv("AUTOML_DIRECTORY", str(tmp_path / "again"))
    assert CliRunner().invoke(cli, ["restore", file]).exit_code == 0
    assert content(tmp_path / "again") == content(tmp_path / "drill")
