"""The suites hold for small components that are right, and see what is wrong with others."""

from __future__ import annotations

import io
import socket
import socketserver
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, TypeVar

import pytest

from automl_core import (
    Cache,
    ComponentUnavailable,
    Event,
    Executor,
    Monitor,
    Params,
    Search,
    Server,
    Shared,
    Space,
    Storage,
    Study,
    Tracker,
    Trial,
    TrialState,
)
from automl_core.testing import (
    CacheConformance,
    ExecutorConformance,
    MonitorConformance,
    SearchConformance,
    ServerConformance,
    StorageConformance,
    TrackerConformance,
)
from automl_core.testing.fakes import MemoryStorage, RecordingTracker

T = TypeVar("T")


class SqliteStorage(Storage):
    """Logs and blobs in one file of SQLite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._transaction() as db:
            db.execute("create table if not exists logs (name, seq, record, primary key (name, seq))")
            db.execute("create table if not exists blobs (key primary key, data)")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            db.execute("pragma synchronous = off")
            db.execute("begin immediate")
            yield db
            db.execute("commit")
        finally:
            db.close()

    def append(self, log: str, record: bytes) -> int:
        with self._transaction() as db:
            number: int = db.execute("select count(*) + 1 from logs where name = ?", [checked(log)]).fetchone()[0]
            db.execute("insert into logs values (?, ?, ?)", [log, number, record])
            return number

    def read(self, log: str, after: int = 0) -> Iterable[tuple[int, bytes]]:
        with self._transaction() as db:
            query = "select seq, record from logs where name = ? and seq > ? order by seq"
            return db.execute(query, [checked(log), after]).fetchall()

    def put(self, key: str, data: bytes) -> None:
        with self._transaction() as db:
            db.execute("insert or replace into blobs values (?, ?)", [checked(key), data])

    def open(self, key: str) -> BinaryIO:
        with self._transaction() as db:
            row = db.execute("select data from blobs where key = ?", [checked(key)]).fetchone()
        if row is None:
            raise KeyError(key)
        return io.BytesIO(row[0])

    def delete(self, key: str) -> None:
        with self._transaction() as db:
            db.execute("delete from blobs where key = ?", [checked(key)])
            db.execute("delete from logs where name = ?", [key])

    def keys(self, prefix: str = "") -> Iterator[str]:
        with self._transaction() as db:
            found = db.execute("select key from blobs where substr(key, 1, ?) = ?", [len(prefix), prefix]).fetchall()
        return iter(sorted(key for (key,) in found))


def checked(name: str) -> str:
    if {"", ".."} & set(name.split("/")):
        raise ValueError(name)
    return name


class Kept(Shared[Any]):
    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        return self.value


class Threads(Executor):
    capacity = 2

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.capacity)

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        return self.pool.submit(fn, *args)

    def share(self, value: Any) -> Shared[Any]:
        return Kept(value)

    def close(self) -> None:
        self.pool.shutdown()


class Climbing(Search):
    """Samples at random, or near the best trial so far; tries every point of a finite space once."""

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self.spaces, self.rng, self.count = spaces, Random(seed), 0
        self.best: Trial | None = None
        finite = all(space.size < 100 for space in spaces.values())
        self.left = [(name, point) for name in spaces for point in spaces[name].grid()] if finite else None

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        asked = []
        for _ in range(count):
            if self.left is None:
                asked.append(self._propose(learner))
            elif self.left:
                asked.append(Trial(self.count + len(asked), *self.left.pop(0)))
        self.count += len(asked)
        return [Trial(self.count - len(asked) + i, trial.learner, trial.params) for i, trial in enumerate(asked)]

    def _propose(self, learner: str | None) -> Trial:
        name = learner or self.rng.choice(list(self.spaces))
        points: list[Params] = [self.spaces[name].sample(self.rng)]
        if self.best is not None and self.best.learner == name and set(self.best.params) == {"x", "y"}:
            near = {key: float(value or 0) + self.rng.gauss(0, 0.3) for key, value in self.best.params.items()}
            points += [{key: min(max(value, -5.0), 5.0) for key, value in near.items()}] * 4
        return Trial(0, name, self.rng.choice(points))

    def tell(self, trial: Trial) -> None:
        good = trial.state == TrialState.COMPLETE and trial.loss is not None and abs(trial.loss) < 1e300
        if good and (self.best is None or trial.loss < self.best.loss):  # type: ignore[operator]
            self.best = trial

    @property
    def exhausted(self) -> bool:
        return self.left == []


class Registering(RecordingTracker):
    """A tracker that keeps models beside what it records."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.aliases: dict[tuple[str, str], str] = {}

    def register(self, name: str, path: Path, *, tags: Mapping[str, str] | None = None) -> str:
        version = str(len(self.versions(name)) + 1)
        (self.folder / name).mkdir(exist_ok=True)
        (self.folder / name / version).write_bytes(path.read_bytes())
        return version

    def resolve(self, name: str, version: str) -> Path:
        path = self.folder / name / self.aliases.get((name, version), version)
        if not path.is_file():
            raise KeyError(f"{name} {version}")
        return path

    def alias(self, name: str, alias: str, version: str) -> None:
        self.aliases[name, alias] = version

    def versions(self, name: str) -> Sequence[str]:
        folder = self.folder / name
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


class Dictionary(Cache):
    def __init__(self) -> None:
        self.values: dict[str, tuple[bytes, float]] = {}
        self.locks: dict[str, tuple[object, float]] = {}

    def get(self, key: str) -> bytes | None:
        value, end = self.values.get(key, (None, 0.0))
        return value if time.monotonic() < end else None

    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        self.values[key] = (value, time.monotonic() + (1e9 if ttl is None else ttl))

    def delete(self, key: str) -> None:
        self.values.pop(key, None)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def set_many(self, items: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        for key, value in items.items():
            self.set(key, value, ttl=ttl)

    @contextmanager
    def lock(self, key: str, *, ttl: float) -> Iterator[bool]:
        me, now = object(), time.monotonic()
        mine = self.locks.get(key, (None, 0.0))[1] <= now
        if mine:
            self.locks[key] = (me, now + ttl)
        yield mine
        if self.locks.get(key, (None, 0.0))[0] is me:
            del self.locks[key]


class Listening(Server):
    """Accepts connections and says nothing."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.stopping: Callable[[], None] = lambda: None

    def serve(self, service: Any) -> None:
        class Reusing(socketserver.TCPServer):
            allow_reuse_address = True

        try:
            server = Reusing(self.address, socketserver.BaseRequestHandler)
        except OSError as error:
            raise ComponentUnavailable(f"{self.address[0]}:{self.address[1]} is taken") from error
        with server:
            self.stopping = server.shutdown
            server.serve_forever(0.05)
        self.stopping = lambda: None

    def stop(self) -> None:
        self.stopping()


class Keeping(Monitor):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def expose(self) -> tuple[str, bytes]:
        return "text/plain", b"%d" % len(self.events)


# ---- components that are right


class TestMemoryStorage(StorageConformance):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()


class TestSqliteStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return SqliteStorage(tmp_path / "db")

    @pytest.fixture
    def another(self, tmp_path: Path) -> Callable[[], Storage]:
        return lambda: SqliteStorage(tmp_path / "db")


class TestThreads(ExecutorConformance):
    pickles_closures = True

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with Threads() as executor:
            yield executor


class TestClimbing(SearchConformance):
    model_based = True
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return Climbing()


class TestTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Tracker:
        (tmp_path / "models").mkdir()
        return Registering(tmp_path / "models")

    @pytest.fixture
    def recorded(self, tracker: Registering) -> Callable[[], Sequence[Trial]]:
        return lambda: list(tracker.trials.values())


class TestCache(CacheConformance):
    @pytest.fixture
    def cache(self) -> Cache:
        return Dictionary()


class TestServer(ServerConformance):
    @pytest.fixture
    def address(self) -> tuple[str, int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            host, port = free.getsockname()
            return host, port

    @pytest.fixture
    def server(self, address: tuple[str, int]) -> Server:
        return Listening(address)

    @pytest.fixture
    def service(self) -> object:
        return object()


class TestMonitor(MonitorConformance):
    @pytest.fixture
    def monitor(self) -> Monitor:
        return Keeping()

    @pytest.fixture
    def received(self, monitor: Keeping) -> Callable[[], Sequence[Event]]:
        return lambda: monitor.events


# ---- components that are wrong


def with_method(kind: type[T], **methods: Any) -> type[T]:
    return type("Wrong", (kind,), methods)


def sleep_then_put(storage: MemoryStorage, key: str, data: bytes) -> None:
    storage._blobs[key] = data[: len(data) // 2]
    time.sleep(0.001)
    storage._blobs[key] = data


def forget_the_lock(storage: MemoryStorage, log: str, record: bytes) -> int:
    records = storage._logs.setdefault(log, [])
    number = len(records) + 1
    time.sleep(0.0001)
    records.append(record)
    return number


class Poisoned(Climbing):
    def tell(self, trial: Trial) -> None:
        if trial.loss is not None and trial.loss != trial.loss:
            raise ZeroDivisionError


class Unseeded(Climbing):
    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        super().begin(spaces, seed=time.perf_counter_ns())


class Ids(Climbing):
    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        return [Trial(trial.id + 1, trial.learner, trial.params) for trial in super().ask(count, learner=learner)]


class Doubling(Registering):
    def log(self, trial: Trial) -> None:
        self.trials[len(self.trials)] = trial


class Stale(Dictionary):
    def get(self, key: str) -> bytes | None:
        return self.values.get(key, (None, 0.0))[0]


def storage(**methods: Any) -> Storage:
    return with_method(MemoryStorage, **methods)()


WRONG: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
    "storage-counts-from-zero": (
        StorageConformance.test_append_numbers_records_from_one,
        (storage(append=lambda self, log, record: MemoryStorage.append(self, log, record) - 1),),
    ),
    "storage-loses-records": (StorageConformance.test_threads_lose_no_record, (storage(append=forget_the_lock),)),
    "storage-strips-records": (
        StorageConformance.test_record_comes_back_byte_for_byte,
        (storage(append=lambda self, log, record: MemoryStorage.append(self, log, record.strip())), b"\n"),
    ),
    "storage-tears-blobs": (
        StorageConformance.test_reader_sees_the_old_or_the_new_blob,
        (storage(put=sleep_then_put),),
    ),
    "storage-takes-any-name": (
        StorageConformance.test_bad_name_is_a_value_error,
        (storage(delete=lambda self, key: None), "../a"),
    ),
    "storage-shows-logs": (
        StorageConformance.test_keys_leave_logs_out,
        (storage(keys=lambda self, prefix="": iter(self._logs)),),
    ),
    "search-poisoned": (SearchConformance.test_trial_without_a_good_loss_does_not_poison, (Poisoned(), "nan")),
    "search-unseeded": (SearchConformance.test_same_seed_and_results_give_the_same_trials, (Unseeded(),)),
    "search-ids-from-one": (SearchConformance.test_ids_grow_from_zero, (Ids(),)),
    "cache-stale": (CacheConformance.test_value_is_gone_when_its_time_is_over, (Stale(),)),
    "monitor-slow": (
        MonitorConformance.test_emit_does_not_wait,
        (with_method(Keeping, emit=lambda self, event: time.sleep(0.006))(),),
    ),
    "monitor-raises": (
        MonitorConformance.test_unknown_event_does_not_raise,
        (with_method(Keeping, emit=lambda self, event: 1 / 0)(),),
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_check_sees_what_is_wrong(wrong: str) -> None:
    check, arguments = WRONG[wrong]
    suite = next(kind for kind in SUITES if check.__name__ in vars(kind))
    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        check(suite(), *arguments)
    assert not isinstance(caught.value, TypeError), "the check was called wrongly"


SUITES = (StorageConformance, SearchConformance, CacheConformance, MonitorConformance)


def test_check_sees_a_tracker_that_counts_twice(tmp_path: Path) -> None:
    tracker = Doubling(tmp_path)
    with pytest.raises(AssertionError):
        TrackerConformance().test_same_trial_again_replaces(tracker, lambda: list(tracker.trials.values()))


def test_check_sees_an_executor_that_runs_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl_core.testing.executor.PATIENCE", 1)
    with Threads() as executor:
        executor.pool = ThreadPoolExecutor(1)
        with pytest.raises((AssertionError, TimeoutError)):
            ExecutorConformance().test_as_many_run_at_once_as_the_capacity_says(executor, tmp_path)
        executor.pool.shutdown()


def test_check_sees_a_server_on_all_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    suite = ServerConformance()
    with pytest.raises(AssertionError):
        suite.test_it_listens_on_this_machine_only(Listening(("0.0.0.0", port)), object(), ("0.0.0.0", port))
    assert threading.active_count() < 20


STUDY = Study("s", "binary", "auc", rows=10, columns=2, seed=0, folds=5)


def test_recording_tracker_keeps_everything(tmp_path: Path) -> None:
    tracker, error = RecordingTracker(), RuntimeError("no")
    (tmp_path / "file").write_bytes(b"x")
    tracker.start(STUDY)
    tracker.log(Trial(3, "a", {}))
    tracker.artifact("model", tmp_path / "file")
    tracker.finish(error)
    assert (list(tracker.studies), list(tracker.trials), tracker.artifacts) == (["s"], [3], {"model": b"x"})
    assert tracker.errors == [error]
