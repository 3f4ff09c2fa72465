from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import pytest
from distributed import KilledWorker
from distributed.utils import json_load_robust

from automl_core import ComponentUnavailable, Context, Executor, Gangs, Plugins
from automl_core.settings import load_settings
from automl_core.testing import ExecutorConformance, PluginConformance
from automl_dask.cluster import Cluster
from automl_dask.executor import DaskExecutor
from automl_dask.plugin import build_executor

PATIENCE = 60


def start(workers: int, **options: object) -> DaskExecutor:
    return DaskExecutor(Cluster(workers=workers, threads_per_worker=1, timeout=150, as_default=False, **options))  # type: ignore[arg-type]


class TestPlugin(PluginConformance):
    plugin = "dask"


@pytest.fixture(scope="module")
def started() -> Iterator[list[DaskExecutor]]:
    executors: list[DaskExecutor] = []
    yield executors
    for executor in executors:
        executor.close()


class TestDaskExecutor(ExecutorConformance):
    crosses_processes = True
    pickles_closures = True

    @pytest.fixture
    def executor(self, started: list[DaskExecutor]) -> Executor:
        # One cluster for all checks; those that close it are followed by a new one.
        if not started or started[-1]._closed:
            started.append(start(2))
        return started[-1]


@pytest.fixture(scope="module")
def single() -> Iterator[DaskExecutor]:
    with start(1) as executor:
        yield executor


def kill_workers(executor: DaskExecutor) -> None:
    pids = executor._client.run(os.getpid)
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)


def test_what_has_not_started_can_be_cancelled(single: DaskExecutor) -> None:
    busy = single.submit(time.sleep, 0.5)
    waiting = [single.submit(time.sleep, 60) for _ in range(3)]
    assert all(future.cancel() for future in waiting)
    assert not busy.cancel()
    assert busy.result(PATIENCE) is None
    assert single.submit(len, "abc").result(PATIENCE) == 3


def test_shared_value_outlives_every_worker_that_held_it(single: DaskExecutor) -> None:
    shared = single.share(list(range(1000)))
    assert single.submit(lambda ref: sum(ref.get()), shared).result(PATIENCE) == 499500
    kill_workers(single)
    assert single.submit(lambda ref: sum(ref.get()), shared).result(PATIENCE) == 499500


def test_task_of_a_killed_worker_runs_again(single: DaskExecutor, tmp_path: Path) -> None:
    def once(marker: str) -> str:
        if not Path(marker).exists():
            Path(marker).touch()
            time.sleep(60)
        return "ran again"

    future = single.submit(once, str(tmp_path / "started"))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    kill_workers(single)
    assert future.result(PATIENCE) == "ran again"


def test_task_that_kills_its_worker_each_time_is_blamed(single: DaskExecutor) -> None:
    assert isinstance(single.submit(os._exit, 1).exception(PATIENCE), KilledWorker)


def test_large_task_passes_the_scheduler_by(single: DaskExecutor) -> None:
    assert single.submit(len, b"x" * (12 << 20)).result(PATIENCE) == 12 << 20  # Dask warns of such arguments


def test_exception_that_cannot_be_unpickled_is_told(single: DaskExecutor) -> None:
    class Odd(Exception):
        def __init__(self, left: int, right: int) -> None:
            super().__init__(f"{left} and {right}")

    def fail() -> None:
        raise Odd(1, 2)

    error = single.submit(fail).exception(PATIENCE)
    assert "1 and 2" in str(error)


def hang(begun: Path) -> None:
    begun.touch()
    time.sleep(60)


def test_closing_ends_what_hangs_and_cancels_what_waits(tmp_path: Path) -> None:
    executor = DaskExecutor(Cluster(workers=1, timeout=150, as_default=False), grace=0.2)
    hung, waiting = executor.submit(hang, tmp_path / "begun"), executor.submit(time.sleep, 60)
    while not (tmp_path / "begun").exists():
        time.sleep(0.05)
    executor.close()
    assert wait([hung, waiting], 5).not_done == set()
    assert isinstance(hung.exception(0), RuntimeError)
    with pytest.raises(CancelledError):
        waiting.result(0)


def test_lost_scheduler_is_an_error_of_every_future(tmp_path: Path) -> None:
    file, own = str(tmp_path / "scheduler.json"), ["--host", "127.0.0.1", "--no-dashboard"]
    commands = [["scheduler", "--port", "0", *own], ["worker", "--nthreads", "1", "--no-nanny", *own]]
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", *command, "--scheduler-file", file], stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        # The file is there before its text is.
        address = json_load_robust(file, timeout=60)["address"]
        with DaskExecutor(Cluster(address, timeout=3, as_default=False)) as executor:
            assert executor.submit(len, "abc").result(PATIENCE) == 3
            futures = [executor.submit(time.sleep, 60) for _ in range(2)]
            processes[0].kill()
            assert wait(futures, PATIENCE).not_done == set()
            assert {type(future.exception()) for future in futures} == {ConnectionError}
            assert isinstance(executor.submit(len, "abc").exception(PATIENCE), ConnectionError)
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("memory", "state"), [("4GB", "ok"), ("500MB", "warning")])
def test_cluster_is_judged_by_the_room_of_its_workers(memory: str, state: str) -> None:
    with (
        Cluster(workers=1, threads_per_worker=1, memory_limit=memory, as_default=False) as served,
        DaskExecutor(Cluster(served.address, as_default=False)) as executor,
    ):
        (found,) = executor.diagnose()
        (local,) = served.diagnose()
    assert (found.check, found.state) == ("Dask cluster", state)
    assert "1 workers, 1 threads" in found.said
    assert (local.state, "this machine only" in local.said) == ("warning", True)


def test_unreachable_scheduler_is_told_with_its_address() -> None:
    with pytest.raises(ComponentUnavailable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 "):
        build_executor(Context("dask", {"address": "tcp://127.0.0.1:9", "timeout": 1}))


def test_settings_of_the_environment_select_the_cluster(single: DaskExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_EXECUTOR", "dask")
    monkeypatch.setenv("AUTOML_PLUGINS__DASK__ADDRESS", str(single._cluster.address))
    plugins = Plugins(load_settings())
    with plugins.build("executor", "dask") as executor:
        there = executor.submit(os.getpid).result(PATIENCE)
    assert there in single._client.run(os.getpid).values()


def test_workers_end_with_a_killed_parent() -> None:
    script = (
        "from automl_dask.cluster import Cluster\nimport os, sys\n"
        "cluster = Cluster(workers=1, timeout=150, as_default=False)\n"
        "print(*cluster.client.run(os.getpid).values(), flush=True)\nsys.stdin.read()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    with parent:
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{worker}").exists()


# ---- gangs


def meet(folder: str, name: str) -> int:
    """Return once two calls are here at the same time."""
    Path(folder, name).touch()
    until = time.monotonic() + PATIENCE
    while len(list(Path(folder).iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    return os.getpid()


@pytest.fixture(scope="module")
def pair() -> Iterator[DaskExecutor]:
    with start(2) as executor:
        yield executor


def test_gang_runs_at_the_same_time_in_processes_of_their_own(pair: DaskExecutor, tmp_path: Path) -> None:
    assert isinstance(pair, Gangs)
    assert (pair.members, pair.host) == (2, "127.0.0.1")
    futures = pair.gang(meet, [(str(tmp_path), "a"), (str(tmp_path), "b")])
    assert len({future.result(PATIENCE) for future in futures}) == 2


def test_error_of_a_gang_is_handed_on(pair: DaskExecutor) -> None:
    with pytest.raises(ZeroDivisionError):
        pair.gang(divmod, [(1, 0)])[0].result(PATIENCE)


def test_gang_of_more_than_the_workers_is_refused(pair: DaskExecutor) -> None:
    with pytest.raises(ValueError, match="a gang of 3 needs as many workers: there are 2"):
        pair.gang(divmod, [(1, 1)] * 3)


# The last test: it costs the cluster a worker.
def test_gang_ends_where_a_worker_is_lost(pair: DaskExecutor) -> None:
    victim = pair.gang(os.getpid, [()])[0].result(PATIENCE)
    futures = pair.gang(time.sleep, [(PATIENCE,), (PATIENCE,)])
    time.sleep(1.0)
    os.kill(victim, signal.SIGKILL)
    for future in futures:
        with pytest.raises(ConnectionError, match=r"the Dask worker at tcp://127\.0\.0\.1:\d+ was lost"):
            future.result(PATIENCE / 2)
