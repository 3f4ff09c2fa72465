"""What every storage must do."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import ClassVar

import pytest

from automl_core.kinds import Storage
from automl_core.testing.conformance import Conformance, at_once

__all__ = ["StorageConformance"]

RECORDS = [b"", b"\n", b"\r\n\x00", b"plain", bytes(range(256)), b"x" * (1 << 20)]
ODD_NAMES = ["a", "a b", ".hidden", "a..b", "a.b/c-d_e", "größe/数据", "deep/er/and/deeper", "x" * 100]
BAD_NAMES = ["", "..", "a/../b", "../a", "/a", "a/", "a//b"]


class StorageConformance(Conformance):
    """Override the fixture `storage`, which is empty; and `another` where a second one can open the same place.

    Attributes:
        crosses_processes: an instance can be pickled, and the copy works on the same place.
    """

    crosses_processes: ClassVar[bool] = False

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError("override the fixture `storage`")

    @pytest.fixture
    def another(self) -> Callable[[], Storage] | None:
        """Return a function that opens the place of `storage` again; None where nothing outlives an instance."""
        return None

    def test_append_numbers_records_from_one(self, storage: Storage) -> None:
        assert [storage.append("log", b"x") for _ in range(3)] == [1, 2, 3]

    def test_read_gives_records_in_order(self, storage: Storage) -> None:
        for text in (b"a", b"b", b"c"):
            storage.append("log", text)
        assert list(storage.read("log")) == [(1, b"a"), (2, b"b"), (3, b"c")]

    @pytest.mark.parametrize("after", [0, 1, 2, 3, 9])
    def test_read_starts_after_a_number(self, storage: Storage, after: int) -> None:
        for text in (b"a", b"b", b"c"):
            storage.append("log", text)
        assert [number for number, _ in storage.read("log", after)] == list(range(after + 1, 4))

    def test_unknown_log_is_empty(self, storage: Storage) -> None:
        assert list(storage.read("nothing")) == []

    @pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{len(record)}-bytes")
    def test_record_comes_back_byte_for_byte(self, storage: Storage, record: bytes) -> None:
        storage.append("log", b"before")
        storage.append("log", record)
        storage.append("log", b"after")
        assert [data for _, data in storage.read("log")] == [b"before", record, b"after"]

    def test_logs_do_not_meet(self, storage: Storage) -> None:
        storage.append("one", b"1")
        storage.append("two", b"2")
        assert list(storage.read("two")) == [(1, b"2")]

    def test_threads_lose_no_record(self, storage: Storage) -> None:
        numbers = at_once(8, lambda me: [storage.append("log", b"%d %d" % (me, i)) for i in range(25)])
        records = dict(storage.read("log"))
        assert sorted(records) == list(range(1, 201))
        assert all(records[number] == b"%d %d" % (me, i) for me in range(8) for i, number in enumerate(numbers[me]))

    @pytest.mark.parametrize("data", RECORDS, ids=lambda data: f"{len(data)}-bytes")
    def test_blob_comes_back_byte_for_byte(self, storage: Storage, data: bytes) -> None:
        storage.put("key", data)
        with storage.open("key") as file:
            assert file.read() == data

    def test_blob_can_be_read_in_parts(self, storage: Storage) -> None:
        storage.put("key", b"abcdef")
        with storage.open("key") as file:
            assert [file.read(4), file.read(4), file.read(4)] == [b"abcd", b"ef", b""]

    def test_put_replaces(self, storage: Storage) -> None:
        storage.put("key", b"long and old")
        storage.put("key", b"new")
        with storage.open("key") as file:
            assert file.read() == b"new"

    def test_reader_sees_the_old_or_the_new_blob(self, storage: Storage) -> None:
        blobs = [letter * (1 << 18) for letter in (b"a", b"b")]
        storage.put("key", blobs[0])
        done = threading.Event()

        def work(me: int) -> bool:
            if me > 0:
                return all(_read(storage, "key") in blobs for _ in iter(done.is_set, True))
            try:
                for turn in range(20):
                    storage.put("key", blobs[turn % 2])
            finally:
                done.set()
            return True

        assert all(at_once(4, work))

    def test_missing_blob_is_a_key_error(self, storage: Storage) -> None:
        with pytest.raises(KeyError):
            storage.open("nothing")

    def test_delete_removes_a_blob_and_may_be_repeated(self, storage: Storage) -> None:
        storage.put("key", b"x")
        storage.delete("key")
        storage.delete("key")
        with pytest.raises(KeyError):
            storage.open("key")

    def test_delete_removes_a_log(self, storage: Storage) -> None:
        storage.append("log", b"x")
        storage.delete("log")
        assert list(storage.read("log")) == []
        assert storage.append("log", b"y") == 1

    def test_keys_are_sorted_and_start_with_the_prefix(self, storage: Storage) -> None:
        for key in ("b/2", "a", "b/1", "bc"):
            storage.put(key, b"x")
        storage.put("b/1", b"again")
        assert list(storage.keys()) == ["a", "b/1", "b/2", "bc"]
        assert list(storage.keys("b")) == ["b/1", "b/2", "bc"]
        assert list(storage.keys("b/")) == ["b/1", "b/2"]
        assert list(storage.keys("c")) == []

    def test_keys_leave_logs_out(self, storage: Storage) -> None:
        storage.append("log", b"x")
        assert list(storage.keys()) == []

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_name_works(self, storage: Storage, name: str) -> None:
        storage.put(name, b"blob")
        storage.append(f"logs/{name}", b"record")
        assert list(storage.keys()) == [name]
        assert _read(storage, name) == b"blob"
        assert list(storage.read(f"logs/{name}")) == [(1, b"record")]

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_bad_name_is_a_value_error(self, storage: Storage, name: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: storage.append(name, b"x"),
            lambda: list(storage.read(name)),
            lambda: storage.put(name, b"x"),
            lambda: storage.open(name),
            lambda: storage.delete(name),
        ]
        for attempt in attempts:
            with pytest.raises(ValueError):
                attempt()

    def test_two_instances_see_each_other(self, storage: Storage, another: Callable[[], Storage] | None) -> None:
        if another is None:
            pytest.skip("nothing outlives an instance")
        with another() as second:
            assert [storage.append("log", b"a"), second.append("log", b"b"), storage.append("log", b"c")] == [1, 2, 3]
            assert [data for _, data in second.read("log")] == [b"a", b"b", b"c"]
            second.put("key", b"x")
            assert _read(storage, "key") == b"x"

    def test_two_instances_lose_no_record(self, storage: Storage, another: Callable[[], Storage] | None) -> None:
        if another is None:
            pytest.skip("nothing outlives an instance")
        with another() as second:
            both = (storage, second)
            numbers = at_once(4, lambda me: [both[me % 2].append("log", b"x") for _ in range(25)])
        assert sorted(number for some in numbers for number in some) == list(range(1, 101))

    def test_closing_loses_nothing(self, storage: Storage, another: Callable[[], Storage] | None) -> None:
        if another is None:
            pytest.skip("nothing outlives an instance")
        storage.append("log", b"record")
        storage.put("key", b"blob")
        storage.close()
        with another() as second:
            assert list(second.read("log")) == [(1, b"record")]
            assert _read(second, "key") == b"blob"

    def test_copy_in_another_process_would_work(self, storage: Storage) -> None:
        if not self.crosses_processes:
            pytest.skip("this storage stays in its process")
        copy: Storage = pickle.loads(pickle.dumps(storage))
        with copy:
            copy.append("log", b"x")
        assert list(storage.read("log")) == [(1, b"x")]

    def test_close_may_be_called_twice(self, storage: Storage) -> None:
        with storage as entered:
            assert entered is storage
        storage.close()


def _read(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()
