from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Column, Data, Shared
from automl_local.processes import ProcessesExecutor
from automl_local.shared import SharedFile, share_by_file


def make_data(rows: int = 1000) -> Data:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3)).astype(np.float32)
    return Data(values, tuple(Column(name) for name in "abc"), rng.normal(size=rows), key="k")


def test_arrays_of_a_shared_table_arrive_equal_and_aligned(tmp_path: Path) -> None:
    data = make_data()
    share_by_file(data, tmp_path / "data")
    copy: Data = SharedFile(str(tmp_path / "data")).get()
    assert copy.values.flags.c_contiguous
    assert copy.values.ctypes.data % 64 == copy.target.ctypes.data % 64 == 0
    np.testing.assert_array_equal(copy.values, data.values)
    np.testing.assert_array_equal(copy.target, data.target)
    assert (copy.columns, copy.weight, copy.key) == (data.columns, None, "k")


def test_every_get_is_the_same_value(tmp_path: Path) -> None:
    share_by_file(make_data(), tmp_path / "data")
    shared: SharedFile[Data] = SharedFile(str(tmp_path / "data"))
    assert shared.get() is shared.get()


def test_value_is_itself_where_it_was_shared(tmp_path: Path) -> None:
    data = make_data()
    assert share_by_file(data, tmp_path / "data").get() is data


@pytest.mark.parametrize(
    "value", [None, b"", {"a": [1, "größe"]}, np.zeros(0), [np.arange(3), np.ones((2, 2), order="F")]]
)
def test_any_value_may_be_shared(tmp_path: Path, value: Any) -> None:
    share_by_file(value, tmp_path / "value")
    np.testing.assert_equal(SharedFile(str(tmp_path / "value")).get(), value)


def test_closure_may_be_shared(tmp_path: Path) -> None:
    offset = 40
    share_by_file(lambda number: number + offset, tmp_path / "value")
    assert SharedFile[Any](str(tmp_path / "value")).get()(2) == 42


def test_what_a_worker_writes_it_alone_sees() -> None:
    data = make_data()
    before = data.values.copy()

    def spoil(shared: Shared[Data]) -> None:
        shared.get().values[:] = 0

    with ProcessesExecutor(1) as executor:
        executor.submit(spoil, executor.share(data)).result(60)
    np.testing.assert_array_equal(data.values, before)


def test_workers_do_not_copy_the_table() -> None:
    def anonymous() -> int:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Anonymous"))

    def growth(shared: Shared[Any]) -> int:
        before = anonymous()
        shared.get().sum()
        return anonymous() - before

    with ProcessesExecutor(1) as executor:
        assert executor.submit(growth, executor.share(np.ones(8_000_000))).result(60) < 32 * 2**20
