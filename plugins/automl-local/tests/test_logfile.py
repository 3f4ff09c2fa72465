from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automl_core import ComponentUnavailable, DataError
from automl_local.files import FileStorage

APPENDER = """
import sys
from automl_local.files import FileStorage
storage = FileStorage(sys.argv[1])
writer = int(sys.argv[2])
for number in range(int(sys.argv[3])):
    storage.append("log", b'{"writer":%d,"number":%d,"pad":"%s"}' % (writer, number, b"x" * (number * 37 % 9000)))
    print(number, flush=True)
"""


def log_file(storage: FileStorage) -> Path:
    return storage.directory / "logs" / "log.jsonl"


def start_appender(folder: Path, writer: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, str(folder), str(writer), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_log_of_json_records_is_a_file_of_json_lines(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b'{"a":"line\\nbreak"}')
    storage.append("log", b"\x00 no json \n")
    lines = [json.loads(line) for line in log_file(storage).read_text().splitlines()]
    assert [line["seq"] for line in lines] == [1, 2]
    assert lines[0]["record"] == {"a": "line\nbreak"}


def test_many_processes_lose_and_mix_no_record(tmp_path: Path) -> None:
    writers = [start_appender(tmp_path, number, 100) for number in range(4)]
    for writer in writers:
        _, _ = writer.communicate(timeout=60)
        assert writer.returncode == 0
    records = [json.loads(record) for _, record in FileStorage(tmp_path).read("log")]
    assert sorted((one["writer"], one["number"]) for one in records) == [(w, n) for w in range(4) for n in range(100)]


@pytest.mark.parametrize("lines", [1, 5, 20, 60])
def test_killed_appender_leaves_all_that_it_was_told_is_there(tmp_path: Path, lines: int) -> None:
    writer = start_appender(tmp_path, 0, 10**6)
    assert writer.stdout is not None
    told = -1
    for _ in range(lines):
        told = int(writer.stdout.readline())
    writer.kill()
    told = max([told, *(int(line) for line in writer.stdout.read().split())])
    writer.wait(10)
    writer.stdout.close()
    storage = FileStorage(tmp_path)
    found = [json.loads(record)["number"] for _, record in storage.read("log")]
    assert found == list(range(len(found)))
    assert len(found) > told
    assert storage.append("log", b"next") == len(found) + 1


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b"x")
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, log_file(storage)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    holder.stdout.close()
    assert storage.append("log", b"y") == 2


def test_every_cut_of_the_last_record_is_dropped(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b'{"a":1}')
    first = log_file(storage).stat().st_size
    storage.append("log", b'{"b":2}')
    whole = log_file(storage).read_bytes()
    for size in range(first, len(whole)):
        log_file(storage).write_bytes(whole[:size])
        assert list(storage.read("log")) == [(1, b'{"a":1}')]
        assert storage.append("log", b"new") == 2
        assert list(storage.read("log")) == [(1, b'{"a":1}'), (2, b"new")]


@pytest.mark.parametrize("tail", [b"\x00" * 5000, b"garbage", b'{"seq":2,"crc":"00000000","record":{}}\n'])
def test_garbage_after_a_power_cut_is_dropped(tmp_path: Path, tail: bytes) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b"x" * 9000)
    with log_file(storage).open("ab") as file:
        file.write(tail)
    assert storage.append("log", b"y") == 2
    assert [record for _, record in storage.read("log")] == [b"x" * 9000, b"y"]


def test_damage_in_the_middle_is_an_error_and_nothing_is_thrown_away(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    for number in range(4):
        storage.append("log", b'{"number":%d}' % number)
    damaged = log_file(storage).read_bytes().replace(b'{"number":1}', b'{"number":7}')
    log_file(storage).write_bytes(damaged)
    with pytest.raises(DataError, match=r"log\.jsonl is damaged at byte \d+"):
        list(storage.read("log"))
    assert storage.append("log", b"x") == 5
    assert log_file(storage).read_bytes().startswith(damaged)


def test_log_that_is_no_log_is_an_error_and_is_kept(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    log_file(storage).parent.mkdir(parents=True)
    log_file(storage).write_text("something\nelse\naltogether\n")
    with pytest.raises(DataError, match="is damaged"):
        storage.append("log", b"x")
    assert log_file(storage).read_text() == "something\nelse\naltogether\n"


def test_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b"before")
    before = log_file(storage).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a write is then cut short, and the next one fails
    try:
        with pytest.raises(ComponentUnavailable, match=r"plugins\.file\.directory") as caught:
            storage.append("log", b"x" * 20_000)
        with pytest.raises(ComponentUnavailable, match=r"key\.blob"):
            storage.put("key", b"x" * 20_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(log_file(storage)) in str(caught.value)
    assert log_file(storage).read_bytes() == before
    assert list(storage.keys()) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert storage.append("log", b"after") == 2


def test_reader_stops_where_the_log_ended_when_it_began(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.append("log", b"1")
    reader = iter(storage.read("log"))
    assert next(reader) == (1, b"1")
    storage.append("log", b"2")
    assert list(reader) == []
    assert list(storage.read("log", 1)) == [(2, b"2")]


def test_append_to_a_log_that_is_deleted_meanwhile_lands_in_the_new_one(tmp_path: Path) -> None:
    writers = [start_appender(tmp_path, number, 200) for number in range(2)]
    storage = FileStorage(tmp_path)
    deadline = time.monotonic() + 60
    while any(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
        storage.delete("log")
    for writer in writers:
        writer.communicate(timeout=60)
    storage.append("log", b"last")
    numbers = [number for number, _ in storage.read("log")]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert numbers == list(range(1, len(numbers) + 1))


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ComponentUnavailable, match=r"plugin 'file' cannot write .*Not a directory"):
        FileStorage(tmp_path / "file").append("log", b"x")
    assert list(FileStorage(tmp_path / "file").keys()) == []


def test_fsync_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])
    FileStorage(tmp_path).append("log", b"x")
    assert synced == []
    FileStorage(tmp_path, fsync=True).append("log", b"x")
    assert len(synced) == 1
