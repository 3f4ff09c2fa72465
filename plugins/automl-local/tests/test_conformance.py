from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from automl_core import Cache, Event, Executor, Monitor, Search, Storage, Tracker, Trial, decode
from automl_core.testing import (
    CacheConformance,
    ExecutorConformance,
    MonitorConformance,
    PluginConformance,
    SearchConformance,
    StorageConformance,
    TrackerConformance,
)
from automl_local.cache import MemoryCache
from automl_local.files import FileStorage
from automl_local.journal import JournalTracker
from automl_local.log_monitor import LogMonitor
from automl_local.memory import MemoryStorage
from automl_local.processes import ProcessesExecutor
from automl_local.random_search import RandomSearch
from automl_local.serial import SerialExecutor
from automl_local.threads import ThreadsExecutor

NAMES = ("file", "journal", "log", "memory", "processes", "random", "serial", "threads")
for _name in NAMES:
    globals()[f"TestPlugin{_name.title()}"] = type(
        f"TestPlugin{_name.title()}", (PluginConformance,), {"plugin": _name}
    )


class TestFileStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return FileStorage(tmp_path)

    @pytest.fixture
    def another(self, tmp_path: Path) -> Callable[[], Storage]:
        return lambda: FileStorage(tmp_path)


class TestMemoryStorage(StorageConformance):
    @pytest.fixture
    def storage(self) -> Storage:
        return MemoryStorage()


class TestSerialExecutor(ExecutorConformance):
    pickles_closures = True

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with SerialExecutor() as executor:
            yield executor


class TestThreadsExecutor(ExecutorConformance):
    pickles_closures = True

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with ThreadsExecutor(3) as executor:
            yield executor


class TestProcessesExecutor(ExecutorConformance):
    crosses_processes = True
    pickles_closures = True

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with ProcessesExecutor(2) as executor:
            yield executor


class TestRandomSearch(SearchConformance):
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return RandomSearch()


class TestJournalTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Tracker:
        return JournalTracker(tmp_path / "files")

    @pytest.fixture
    def recorded(self, tmp_path: Path) -> Callable[[], Sequence[Trial]]:
        def read() -> Sequence[Trial]:
            (path,) = (tmp_path / "files" / "studies").iterdir()
            return JournalTracker(tmp_path / "files").trials(path.stem)

        return read


class TestMemoryCache(CacheConformance):
    @pytest.fixture
    def cache(self) -> Cache:
        return MemoryCache(max_bytes=2**20)


class TestLogMonitor(MonitorConformance):
    @pytest.fixture
    def monitor(self) -> Iterator[Monitor]:
        with LogMonitor() as monitor:
            yield monitor

    @pytest.fixture
    def received(self, caplog: pytest.LogCaptureFixture) -> Callable[[], Sequence[Event]]:
        caplog.set_level(logging.INFO, logger="automl.events")
        return lambda: [event for line in caplog.messages if isinstance(event := decode(json_line(line)), Event)]


def json_line(line: str) -> bytes:
    assert json.loads(line)["record"] == "Event"
    return line.encode()
