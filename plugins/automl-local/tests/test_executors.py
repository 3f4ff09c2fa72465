from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, CancelledError, Future, wait
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from automl_core import ComponentUnavailable, Executor
from automl_local.processes import ProcessesExecutor
from automl_local.serial import SerialExecutor
from automl_local.threads import ThreadsExecutor
from automl_local.worker import pack, unpack

PATIENCE = 60


def run(script: str, *arguments: object, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_what_has_not_started_can_be_cancelled(kind: str) -> None:
    with _make(kind, 1) as executor:
        busy = executor.submit(time.sleep, 0.5)
        waiting = [executor.submit(time.sleep, 60) for _ in range(3)]
        assert all(future.cancel() for future in waiting)
        assert busy.result(PATIENCE) is None
        assert executor.submit(len, "abc").result(PATIENCE) == 3


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_closing_cancels_what_waits_and_wakes_those_who_wait_for_it(kind: str) -> None:
    executor = _make(kind, 1)
    busy, waiting = executor.submit(time.sleep, 1), executor.submit(time.sleep, 60)
    waiter: Future[bool] = Future()
    threading.Thread(target=lambda: waiter.set_result(wait([busy, waiting], 30).not_done == set())).start()
    time.sleep(0.2)
    executor.close()
    assert waiter.result(PATIENCE)
    with pytest.raises(CancelledError):
        waiting.result(0)
    assert busy.result(0) is None


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_closing_does_not_wait_for_a_hung_function(kind: str) -> None:
    executor = _make(kind, 1)
    executor.submit(len, "").result(PATIENCE)
    hung = executor.submit(time.sleep, 20)
    while not hung.running():
        time.sleep(0.01)
    started = time.monotonic()
    executor.close()
    assert time.monotonic() - started < 10
    assert hung.done() == (kind == "processes")


def test_hung_thread_does_not_keep_the_interpreter() -> None:
    script = """
import time
from automl_local.threads import ThreadsExecutor
from automl_local.worker import pack, unpack
executor = ThreadsExecutor(1, grace=0.1)
executor.submit(time.sleep, 600)
time.sleep(0.2)
print("end")
"""
    done = run(script, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_waiting_thread_keeps_no_data_alive() -> None:
    class Large:
        pass

    large = Large()
    gone = weakref.ref(large)
    with ThreadsExecutor(1) as executor:
        gc.disable()
        try:
            executor.submit(_fail_with, large).exception(PATIENCE)
            executor.submit(len, "").result(PATIENCE)
            del large
            assert gone() is None
        finally:
            gc.enable()


def test_threads_start_when_they_are_needed() -> None:
    before = threading.active_count()
    with ThreadsExecutor(8) as executor:
        for _ in range(5):
            executor.submit(len, "").result(PATIENCE)
            time.sleep(0.01)
        assert threading.active_count() - before <= 2


def test_interrupt_in_serial_reaches_the_caller() -> None:
    with SerialExecutor() as executor, pytest.raises(KeyboardInterrupt):
        executor.submit(_interrupt)


def test_killed_worker_fails_what_runs_and_spares_what_waits() -> None:
    with ProcessesExecutor(1) as executor:
        pid = executor.submit(os.getpid).result(PATIENCE)
        running, waiting = executor.submit(time.sleep, 60), executor.submit(len, "abc")
        os.kill(pid, signal.SIGKILL)
        assert isinstance(running.exception(PATIENCE), BrokenExecutor)
        assert waiting.result(PATIENCE) == 3


def test_workers_end_when_their_parent_is_killed() -> None:
    script = """
import os, signal
from automl_local.processes import ProcessesExecutor
print(ProcessesExecutor(1).submit(os.getpid).result(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run(script)
    assert done.returncode == -signal.SIGKILL
    assert wait_until_gone(int(done.stdout))


@pytest.mark.parametrize("end", ["", "threading.Thread(target=executor.close, daemon=True).start()"])
def test_hung_process_does_not_keep_the_interpreter(tmp_path: Path, end: str) -> None:
    script = f"""
import sys, threading, time
from automl_local.processes import ProcessesExecutor
executor = ProcessesExecutor(1, grace=600, directory=sys.argv[1])
executor.share(b"data")
executor.submit(len, "").result()
executor.submit(time.sleep, 600)
{end}
"""
    done = run(script, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_interrupt_from_the_keyboard_is_left_to_the_parent() -> None:
    script = """
import os, signal, time
from automl_local.processes import ProcessesExecutor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in its background without it
with ProcessesExecutor(1) as executor:
    executor.submit(len, "").result()
    future = executor.submit(time.sleep, 0.5)
    try:
        os.killpg(0, signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        print("interrupted", future.result())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, start_new_session=True)
    assert (done.stdout, done.stderr) == ("interrupted None\n", "")


def test_script_needs_no_guard_of_its_main_module(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from automl_local.processes import ProcessesExecutor\n"
        "class Mine:\n    def double(self, x): return 2 * x\n"
        "with ProcessesExecutor(1) as executor:\n    print(executor.submit(Mine().double, 21).result())\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_functions_and_classes_of_the_main_script_go_to_workers_and_come_back(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("""
from automl_local.processes import ProcessesExecutor

class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right

def turn(pair):
    return Pair(pair.right, pair.left)

with ProcessesExecutor(1) as executor:
    turned = executor.submit(turn, Pair(1, 2)).result(60)
    print(type(turned) is Pair, turned.left, turned.right)
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "True 2 1\n", done.stderr


def test_module_that_is_to_be_pickled_by_value_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("only_here")
    exec("def double(number):\n    return 2 * number", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    cloudpickle.register_pickle_by_value(module)
    try:
        packed = pack(module.double)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(sys.modules, "only_here")
    assert unpack(packed)(21) == 42


def test_what_cannot_be_pickled_fails_alone() -> None:
    with ProcessesExecutor(1) as executor:
        assert executor.submit(len, threading.Lock()).exception(PATIENCE) is not None
        assert executor.submit(threading.Lock).exception(PATIENCE) is not None
        assert executor.submit(len, "abc").result(PATIENCE) == 3


def test_exception_that_cannot_be_unpickled_keeps_its_message() -> None:
    class Strict(Exception):
        def __init__(self, *, code: int) -> None:
            super().__init__(f"code {code}")

    def fail() -> None:
        raise Strict(code=7)

    with ProcessesExecutor(1) as executor:
        error = executor.submit(fail).exception(PATIENCE)
        assert isinstance(error, RuntimeError)
        assert "Strict: code 7" in str(error)
        assert executor.submit(len, "abc").result(PATIENCE) == 3


def test_function_that_workers_cannot_import_fails_alone() -> None:
    with ProcessesExecutor(1) as executor:
        pid = executor.submit(os.getpid).result(PATIENCE)
        sys.modules["only_here"] = module = ModuleType("only_here")
        exec("def double(x): return 2 * x", module.__dict__)
        try:
            error = executor.submit(module.double, 21).exception(PATIENCE)
        finally:
            del sys.modules["only_here"]
        assert isinstance(error, ModuleNotFoundError)
        assert executor.submit(os.getpid).result(PATIENCE) == pid


def test_exception_tells_where_it_was_raised() -> None:
    with ProcessesExecutor(1) as executor:
        error = executor.submit(int, "no number").exception(PATIENCE)
    assert isinstance(error, ValueError)
    assert "in the worker" in error.__notes__[0]


def test_shared_data_is_deleted_on_closing(tmp_path: Path) -> None:
    with ProcessesExecutor(1, directory=str(tmp_path)) as executor:
        executor.share(b"x" * 100)
        assert len(list(tmp_path.rglob("*"))) == 2
    assert list(tmp_path.iterdir()) == []


def test_folder_without_room_is_named(tmp_path: Path) -> None:
    executor = ProcessesExecutor(1, directory=str(tmp_path / "nowhere"))
    with executor, pytest.raises(ComponentUnavailable, match=r"nowhere.*plugins\.processes\.directory"):
        executor.share(b"x")


def _make(kind: str, workers: int) -> Executor:
    return ThreadsExecutor(workers, grace=2) if kind == "threads" else ProcessesExecutor(workers, grace=2)


def _fail_with(value: object) -> None:
    raise ValueError("no")


def _interrupt() -> None:
    raise KeyboardInterrupt
