from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_local.files import BLOB, FileStorage
from automl_local.names import name_of, path_of

PART = st.one_of(
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=8),
    st.sampled_from([".", "a", "a.blob", ".blob", "%2E", "a%2Eblob", "%25"]),
)
NAME = st.lists(PART.filter(lambda part: part != ".."), min_size=1, max_size=3).map("/".join)


@settings(max_examples=300, deadline=None)
@given(NAME)
def test_file_of_a_name_tells_the_name(name: str) -> None:
    assert name_of(Path("/root"), path_of(Path("/root"), name, BLOB), BLOB) == name


@settings(max_examples=100, deadline=None)
@given(st.sets(NAME, max_size=4))
def test_no_file_of_a_name_is_a_folder_of_another(names: set[str]) -> None:
    files = {path_of(Path("/root"), name, BLOB) for name in names}
    assert len(files) == len(names)
    assert not files & {folder for file in files for folder in file.parents}


def test_blob_and_log_and_folder_may_have_one_name(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    for key in ("a", "a/b", "a.blob/c", "a.blob"):
        storage.put(key, key.encode())
        storage.append(key, key.encode())
    assert list(storage.keys()) == ["a", "a.blob", "a.blob/c", "a/b"]
    assert list(storage.read("a/b")) == [(1, b"a/b")]


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out", "nul\x00", "line\nbreak"])
def test_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    storage = FileStorage(tmp_path / "files")
    with pytest.raises(ValueError, match="no valid name"):
        storage.put(name, b"x")
    assert list(tmp_path.iterdir()) == []


def test_deleting_leaves_no_empty_folders(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.put("studies/1/part", b"x")
    storage.append("studies/1/part", b"x")
    storage.delete("studies/1/part")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


def test_reading_creates_nothing(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "files")
    assert list(storage.keys()) == list(storage.read("log")) == []
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_swept_after_a_day(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path)
    storage.put("key", b"x")
    old, new = tmp_path / "tmp" / "1-old", tmp_path / "tmp" / "2-new"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    storage.put("key", b"y")
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["2-new"]
    assert list(storage.keys()) == ["key"]
