from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait
from pathlib import Path

import numpy as np
import pytest

from automl_core import ComponentUnavailable, Context, Executor, Plugins
from automl_core.diagnosis import WARNING
from automl_core.settings import load_settings
from automl_core.testing import ExecutorConformance, PluginConformance
from automl_ray.cluster import Cluster
from automl_ray.executor import RayExecutor
from automl_ray.plugin import build_executor

PATIENCE = 60


class TestPluginRay(PluginConformance):
    plugin = "ray"


def connect(**options: object) -> RayExecutor:
    """Return another executor on the cluster that the tests share."""
    return RayExecutor(Cluster(), **options)  # type: ignore[arg-type]


class TestRayExecutor(ExecutorConformance):
    crosses_processes = True
    pickles_closures = True

    @pytest.fixture
    def executor(self, cluster: Cluster) -> Iterator[Executor]:
        with connect(grace=0.5, retries=0) as executor:
            yield executor


@pytest.fixture
def executor(cluster: Cluster) -> Iterator[RayExecutor]:
    with connect(grace=0.2) as executor:
        yield executor


def until(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def test_shared_array_is_read_where_it_lies(executor: RayExecutor) -> None:
    shared = executor.share({"values": np.ones((1000, 1000))})

    def look(ref: object) -> tuple[float, bool, bool]:
        values = ref.get()["values"]
        return float(values.sum()), values.flags.writeable, values is ref.get()["values"]

    assert executor.submit(look, shared).result(PATIENCE) == (1e6, False, True)


def test_worker_that_outlives_its_node_is_a_loss(executor: RayExecutor, tmp_path: Path) -> None:
    def fit(folder: Path) -> str:
        from ray.exceptions import LocalRayletDiedError

        if not (folder / "lost").exists():
            (folder / "lost").touch()
            raise LocalRayletDiedError
        return "fitted"

    assert executor.submit(fit, tmp_path).result(PATIENCE) == "fitted"


def test_arrays_that_come_back_may_be_written(executor: RayExecutor) -> None:
    array = executor.submit(np.zeros, 1_000_000).result(PATIENCE)
    array[0] = 1.0
    assert array.sum() == 1.0


def test_what_has_not_started_can_be_cancelled(executor: RayExecutor) -> None:
    futures = [executor.submit(time.sleep, 60) for _ in range(6)]
    assert all(future.cancel() for future in futures)
    assert wait(futures, 5).not_done == set()
    assert executor.submit(len, "abc").result(PATIENCE) == 3


def test_cancelling_what_hangs_gives_its_place_back(executor: RayExecutor, tmp_path: Path) -> None:
    def hang(folder: str, number: int) -> None:
        Path(folder, str(number)).touch()
        time.sleep(600)

    hung = [executor.submit(hang, str(tmp_path), number) for number in range(executor.capacity)]
    for number in range(len(hung)):
        until(tmp_path / str(number))
    assert all(future.cancel() for future in hung)
    assert executor.submit(len, "abc").result(PATIENCE) == 3
    with pytest.raises(CancelledError):
        hung[0].result(0)


def test_task_of_a_killed_worker_runs_again_and_is_logged(
    executor: RayExecutor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def once(marker: str) -> str:
        if not Path(marker).exists():
            Path(marker + "~").write_text(str(os.getpid()))
            Path(marker + "~").rename(marker)
            time.sleep(600)
        return "ran again"

    future = executor.submit(once, str(tmp_path / "pid"))
    until(tmp_path / "pid")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert future.result(PATIENCE) == "ran again"
    assert "a fit was lost with its worker and runs again, 1 of 2 times: " in caplog.text


def test_task_that_kills_its_worker_each_time_ends_with_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    def die(log: str) -> None:
        with Path(log).open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    with connect(retries=1) as executor:
        error = executor.submit(die, str(tmp_path / "log")).exception(PATIENCE)
    assert isinstance(error, cluster.ray.exceptions.WorkerCrashedError)
    assert (tmp_path / "log").read_text() == "xx"


def test_exception_that_cannot_be_unpickled_is_told(executor: RayExecutor) -> None:
    class Odd(Exception):
        def __init__(self, left: int, right: int) -> None:
            super().__init__(f"{left} and {right}")

    def fail() -> None:
        raise Odd(1, 2)

    assert str(executor.submit(fail).exception(PATIENCE)) == "Odd: 1 and 2"


def test_argument_that_cannot_be_pickled_is_an_error_of_its_future(executor: RayExecutor) -> None:
    assert isinstance(executor.submit(len, (n for n in "abc")).exception(PATIENCE), TypeError)
    assert executor.submit(len, "abc").result(PATIENCE) == 3


def test_learner_that_exits_is_an_error_of_its_future(executor: RayExecutor) -> None:
    def leave() -> None:
        raise SystemExit(3)

    assert isinstance(executor.submit(leave).exception(PATIENCE), SystemExit)


def test_closing_ends_what_hangs_and_cancels_what_waits(cluster: Cluster) -> None:
    executor = connect(grace=0.2)
    futures = [executor.submit(time.sleep, 600) for _ in range(4)]
    executor.close()
    assert wait(futures, 5).not_done == set()
    assert all(future.cancelled() for future in futures)


@pytest.mark.parametrize(("options", "capacity"), [({"cpus": 1}, 2), ({"cpus": 2}, 1), ({"cpus": 0.5}, 4)])
def test_capacity_follows_what_a_trial_reserves(cluster: Cluster, options: dict[str, float], capacity: int) -> None:
    with connect(**options) as executor:
        assert executor.capacity == capacity


def test_concurrency_of_a_growing_cluster_is_what_it_may_become(cluster: Cluster) -> None:
    with connect(concurrency=7) as executor:
        assert executor.capacity == 7
        assert [f.result(PATIENCE) for f in [executor.submit(len, "abc") for _ in range(9)]] == [3] * 9


def test_trial_that_fits_nowhere_is_told_with_what_there_is(cluster: Cluster) -> None:
    small = Cluster(timeout=0.1)
    with pytest.raises(
        ComponentUnavailable, match=r"has \{'CPU': 2\.0, 'GPU': 0\.0.*one trial needs \{'CPU': 1\.0, 'GPU': 1"
    ):
        RayExecutor(small, gpus=1)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_unreachable_head_is_told_with_its_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as in a process that has no connection yet
    with pytest.raises(ComponentUnavailable, match=f"no Ray cluster answers at {address} "):
        build_executor(Context("ray", {"address": address, "timeout": 1}))


def test_connection_to_one_cluster_is_not_taken_for_another(cluster: Cluster) -> None:
    with pytest.raises(
        ComponentUnavailable, match=r"connected to Ray at this machine and cannot be to 127\.0\.0\.1:9 "
    ):
        Cluster("127.0.0.1:9")
    with Cluster("auto") as same:
        assert same.alive
    assert cluster.alive


def test_ray_of_this_machine_listens_on_loopback_only(cluster: Cluster) -> None:
    (node,) = cluster.ray.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"


def test_settings_of_the_environment_make_the_executor(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_EXECUTOR", "ray")
    monkeypatch.setenv("AUTOML_PLUGINS__RAY__CPUS_PER_TRIAL", "2")
    with Plugins(load_settings()).build("executor", "ray") as executor:
        assert executor.capacity == 1
        assert executor.submit(os.getpid).result(PATIENCE) != os.getpid()


def test_doctor_says_what_is_missing_for_a_cluster(executor: RayExecutor) -> None:
    (finding,) = executor.diagnose()
    assert (finding.state, finding.check) == (WARNING, "Ray cluster")
    assert "2 CPUs of this machine only" in finding.said
