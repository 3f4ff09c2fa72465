"""What every executor must do."""

from __future__ import annotations

import os
import pickle
import time
from concurrent.futures import Future, as_completed, wait
from pathlib import Path
from typing import Any, ClassVar

import pytest

from automl_core.kinds import Executor
from automl_core.powers import Shared, Shares
from automl_core.testing.conformance import Conformance, at_once

__all__ = ["ExecutorConformance"]

PATIENCE = 60


class ExecutorConformance(Conformance):
    """Override the fixture `executor`, with a capacity of two or more where it can have that.

    Attributes:
        crosses_processes: functions run outside of this process, which a worker's death then does not take down.
        pickles_closures: functions may be lambdas and closures.
        shares_files: workers see the files of this machine.
    """

    crosses_processes: ClassVar[bool] = False
    pickles_closures: ClassVar[bool] = False
    shares_files: ClassVar[bool] = True

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("override the fixture `executor`")

    def test_capacity_is_at_least_one(self, executor: Executor) -> None:
        assert executor.capacity >= 1

    def test_submit_returns_a_real_future(self, executor: Executor) -> None:
        future = executor.submit(_add, 1, 2)
        assert isinstance(future, Future)
        assert future.result(PATIENCE) == 3

    def test_exception_keeps_its_type_and_message(self, executor: Executor) -> None:
        error = executor.submit(_fail, "the cause").exception(PATIENCE)
        assert isinstance(error, ValueError)
        assert error.args == ("the cause",)

    def test_failure_leaves_the_executor_usable(self, executor: Executor) -> None:
        executor.submit(_fail, "the cause").exception(PATIENCE)
        assert executor.submit(_add, 1, 2).result(PATIENCE) == 3

    def test_wait_and_as_completed_take_its_futures(self, executor: Executor) -> None:
        futures = [executor.submit(_add, number, 1) for number in range(4)]
        assert sorted(future.result() for future in as_completed(futures, PATIENCE)) == [1, 2, 3, 4]
        assert wait(futures, PATIENCE).not_done == set()

    def test_more_than_the_capacity_may_be_submitted(self, executor: Executor) -> None:
        futures = [executor.submit(_add, number, 1) for number in range(4 * executor.capacity + 3)]
        assert [future.result(PATIENCE) for future in futures] == list(range(1, len(futures) + 1))

    def test_as_many_run_at_once_as_the_capacity_says(self, executor: Executor, tmp_path: Path) -> None:
        count = min(executor.capacity, 4)
        if count == 1 or not self.shares_files:
            pytest.skip("one at a time, or no common files to see it by")
        futures = [executor.submit(_meet, str(tmp_path), number, count) for number in range(count)]
        assert [future.result(PATIENCE) for future in futures] == [True] * count

    def test_threads_may_submit_at_once(self, executor: Executor) -> None:
        results = at_once(4, lambda me: [executor.submit(_add, me, i).result(PATIENCE) for i in range(5)])
        assert results == [[me + i for i in range(5)] for me in range(4)]

    def test_large_argument_and_result_arrive(self, executor: Executor) -> None:
        data = bytes(range(256)) * (1 << 14)
        assert executor.submit(_twice, data).result(PATIENCE) == data * 2

    def test_closure_runs(self, executor: Executor) -> None:
        if not self.pickles_closures:
            pytest.skip("functions must be importable")
        offset = 40
        assert executor.submit(lambda number: number + offset, 2).result(PATIENCE) == 42

    def test_death_of_a_worker_is_an_exception(self, executor: Executor) -> None:
        if not self.crosses_processes:
            pytest.skip("a worker's death would be this process's")
        assert executor.submit(os._exit, 3).exception(PATIENCE) is not None

    def test_work_goes_on_after_the_death_of_a_worker(self, executor: Executor) -> None:
        if not self.crosses_processes:
            pytest.skip("a worker's death would be this process's")
        executor.submit(os._exit, 3).exception(PATIENCE)
        assert executor.submit(_add, 1, 2).result(PATIENCE) == 3

    def test_functions_run_outside_of_this_process(self, executor: Executor) -> None:
        if not self.crosses_processes:
            pytest.skip("functions run in this process")
        assert executor.submit(os.getpid).result(PATIENCE) != os.getpid()

    def test_shared_value_reaches_the_workers(self, executor: Executor) -> None:
        if not isinstance(executor, Shares):
            pytest.skip("this executor shares no values")
        value = {"rows": list(range(1000)), "name": "größe"}
        shared = executor.share(value)
        assert isinstance(shared, Shared)
        assert [executor.submit(_get, shared).result(PATIENCE) for _ in range(3)] == [value] * 3
        assert shared.get() == value

    def test_reference_is_smaller_than_what_is_shared(self, executor: Executor) -> None:
        if not (isinstance(executor, Shares) and self.crosses_processes):
            pytest.skip("nothing is moved between processes")
        shared = executor.share(b"x" * (1 << 22))
        assert len(pickle.dumps(shared)) < 1 << 16
        assert executor.submit(_length, shared).result(PATIENCE) == 1 << 22

    def test_submit_after_close_raises(self, executor: Executor) -> None:
        executor.close()
        with pytest.raises(RuntimeError):
            executor.submit(_add, 1, 2)

    def test_close_may_be_called_twice(self, executor: Executor) -> None:
        with executor as entered:
            assert entered is executor
        executor.close()


def _add(left: int, right: int) -> int:
    return left + right


def _fail(message: str) -> None:
    raise ValueError(message)


def _twice(data: bytes) -> bytes:
    return data * 2


def _get(shared: Shared[Any]) -> Any:
    return shared.get()


def _length(shared: Shared[bytes]) -> int:
    return len(shared.get())


def _meet(folder: str, number: int, count: int) -> bool:
    """Say whether `count` of these calls are running at one time."""
    Path(folder, str(number)).touch()
    deadline = time.monotonic() + PATIENCE / 2
    while time.monotonic() < deadline:
        if len(list(Path(folder).iterdir())) == count:
            return True
        time.sleep(0.01)
    return False
