"""Stand-ins for tests: an installed distribution, a storage in memory, a scripted search, a recording tracker."""

from __future__ import annotations

import importlib
import io
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from automl_core.discovery import GROUP
from automl_core.kinds import Search, Storage, Tracker
from automl_core.records import Study, Trial
from automl_core.space import Params, Space

__all__ = ["MemoryStorage", "RecordingTracker", "ScriptedSearch", "install", "installed"]


def install(
    folder: Path,
    name: str,
    module: str,
    *,
    source: str | None = None,
    distribution: str = "",
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> None:
    """Write a distribution into `folder` as pip does: a dist-info with the entry point `name`, and a module.

    Args:
        module: the entry module; a name without dots, where `source` is given.
        source: its text; None writes no module.
        distribution: its name; by default "fake-" and the name of the plugin.
        requires: what it requires, as in its pyproject.toml.
    """
    distribution = distribution or f"fake-{name}"
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (info / "entry_points.txt").open("a", encoding="utf-8") as file:
        file.write(f"[{GROUP}]\n{name} = {module}\n")
    if source is not None:
        (folder / f"{module}.py").write_text(source, encoding="utf-8")


@contextmanager
def installed(
    folder: Path,
    name: str,
    module: str,
    *,
    source: str | None = None,
    distribution: str = "",
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> Iterator[Path]:
    """Install a fake distribution into `folder` (see `install`), which is on sys.path inside the `with` block."""
    install(folder, name, module, source=source, distribution=distribution, version=version, requires=requires)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        importlib.invalidate_caches()
        for new in set(sys.modules) - before:
            if str(getattr(sys.modules[new], "__file__", "")).startswith(str(folder)):
                del sys.modules[new]


class MemoryStorage(Storage):
    """Logs and blobs in dictionaries."""

    def __init__(self) -> None:
        self._logs: dict[str, list[bytes]] = {}
        self._blobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def append(self, log: str, record: bytes) -> int:
        with self._lock:
            records = self._logs.setdefault(_checked(log), [])
            records.append(bytes(record))
            return len(records)

    def read(self, log: str, after: int = 0) -> Iterable[tuple[int, bytes]]:
        with self._lock:
            records = list(self._logs.get(_checked(log), ()))
        return list(enumerate(records, 1))[after:]

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._blobs[_checked(key)] = bytes(data)

    def open(self, key: str) -> BinaryIO:
        with self._lock:
            return io.BytesIO(self._blobs[_checked(key)])

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(_checked(key), None)
            self._logs.pop(key, None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with self._lock:
            return iter(sorted(key for key in self._blobs if key.startswith(prefix)))


class ScriptedSearch(Search):
    """Proposes (learner, params) pairs from a list, in order, and keeps what it is told in `told`."""

    def __init__(self, script: Sequence[tuple[str, Params]]) -> None:
        self.script = list(script)
        self.told: list[Trial] = []
        self.spaces: Mapping[str, Space] = {}
        self._next = 0

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self.spaces, self.told, self._next = spaces, [], 0

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        asked: list[Trial] = []
        while len(asked) < count and not self.exhausted:
            name, params = self.script[self._next]
            if learner not in (None, name):
                break
            asked.append(Trial(self._next, name, params))
            self._next += 1
        return asked

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)

    @property
    def exhausted(self) -> bool:
        return self._next >= len(self.script)


class RecordingTracker(Tracker):
    """Keeps studies and trials by id, files by name, and how the last study ended."""

    def __init__(self) -> None:
        self.studies: dict[str, Study] = {}
        self.trials: dict[int, Trial] = {}
        self.artifacts: dict[str, bytes] = {}
        self.errors: list[BaseException | None] = []

    def start(self, study: Study) -> None:
        self.studies[study.id] = study

    def log(self, trial: Trial) -> None:
        self.trials[trial.id] = trial

    def artifact(self, name: str, path: Path) -> None:
        self.artifacts[name] = path.read_bytes()

    def finish(self, error: BaseException | None = None) -> None:
        self.errors.append(error)


def _checked(name: str) -> str:
    if any(part in ("", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is no relative path: its parts may be neither empty nor '..'")
    return name
