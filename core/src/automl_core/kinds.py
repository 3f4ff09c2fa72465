"""The eight kinds of component, each a small abstract class with concrete defaults.

What only some components of a kind can do is a power: see `automl_core.powers`, and `automl_core.learners` for learners.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from automl_core.component import Component
from automl_core.learners import Learner

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from automl_core.records import Event, Study, Trial
    from automl_core.space import Space

__all__ = ["KINDS", "Cache", "Component", "Executor", "Learner", "Monitor", "Search", "Server", "Storage", "Tracker"]

T = TypeVar("T")


# ---- Storage


class Storage(Component, ABC):
    """Append-only logs of records, and blobs by key. Thread-safe.

    A log name or key is a relative path of printable characters with "/" between its parts; ".." and an empty part
    raise ValueError.
    """

    @abstractmethod
    def append(self, log: str, record: bytes) -> int:
        """Append one record atomically and return its sequence number, growing from 1 without gaps."""

    @abstractmethod
    def read(self, log: str, after: int = 0) -> Iterable[tuple[int, bytes]]:
        """Yield (sequence number, record) in order; nothing for an unknown log. A cut last record is left out."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Store a blob, replacing an older one atomically: a reader sees the old or the new one."""

    @abstractmethod
    def open(self, key: str) -> BinaryIO:
        """Open a blob for reading.

        Raises:
            KeyError: there is no such blob.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete a blob, or a log of that name; harmless if absent."""

    @abstractmethod
    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys of blobs that start with `prefix`, each once, sorted."""


# ---- Executor


class Executor(Component, ABC):
    """Runs functions somewhere: a thread, a process, a cluster. Thread-safe."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many submissions are worth having in flight, at least 1; may change over time."""

    @abstractmethod
    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        """Run `fn(*args)` and return a real `concurrent.futures.Future`.

        The future carries the function's result or exception; a worker that dies gives an exception, not a hang, and
        what is submitted after that runs.

        Raises:
            RuntimeError: the executor is closed.
        """


# ---- Search


class Search(Component, ABC):
    """Proposes configurations: ask and tell. Called from one thread.

    A search is deterministic: after the same `begin` and the same sequence of `ask` and `tell` it asks the same.
    """

    @abstractmethod
    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        """Start over for learners' spaces by learner name; called before anything else, and again to start anew."""

    @abstractmethod
    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """Propose up to `count` running trials, of the named learner or of any.

        May return fewer, even none, while it waits for results. Ids grow from 0 in the order asked. Parameters are
        plain Python scalars inside the space, one for each dimension whose condition holds.
        """

    @abstractmethod
    def tell(self, trial: Trial) -> None:
        """Take a finished trial, in any order: complete, pruned or failed.

        A trial that was not asked for (from a portfolio, or an earlier run) is prior knowledge; its parameters may
        leave some of the space's out. A loss that is None or not finite must not poison later proposals.
        """

    @property
    def exhausted(self) -> bool:
        """Whether no `ask` will ever propose anything again."""
        return False


# ---- Tracker


class Tracker(Component, ABC):
    """Records studies for people and tools. Called from one thread; may raise ComponentUnavailable.

    Whatever it raises costs a log line, never the study.
    """

    @abstractmethod
    def start(self, study: Study) -> None:
        """Begin a study; the same id again goes on with it."""

    @abstractmethod
    def log(self, trial: Trial) -> None:
        """Record a finished trial; the same id again replaces it."""

    def artifact(self, name: str, path: Path) -> None:
        """Keep a file of the study (model, report)."""

    def finish(self, error: BaseException | None = None) -> None:
        """End the study, as failed if there was an error; harmless without a start."""

    def flush(self) -> tuple[int, int]:
        """Send what could not be sent yet: return how many records were sent, and how many studies still wait."""
        return 0, 0


# ---- Cache


class Cache(Component, ABC):
    """Bytes by key, for a while. Thread-safe. A cache may forget anything at any time."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the value, or None for a miss."""

    @abstractmethod
    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        """Store a value, for `ttl` seconds where given."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Forget a key; harmless if absent."""


# ---- Server and monitor


class Server(Component, ABC):
    """Puts a prediction service on a wire."""

    @abstractmethod
    def serve(self, service: Any) -> None:
        """Serve until `stop`; blocks. Binds loopback unless told otherwise.

        Raises:
            ComponentUnavailable: the address is taken.
        """

    @abstractmethod
    def stop(self) -> None:
        """Make `serve` return soon; safe from any thread and from a signal handler."""


class Monitor(Component, ABC):
    """Takes events off the caller's path. Thread-safe."""

    @abstractmethod
    def emit(self, event: Event) -> None:
        """Take an event; never blocks, never raises, and may drop."""


KINDS: Mapping[str, type[Component]] = {
    "storage": Storage,
    "executor": Executor,
    "search": Search,
    "learner": Learner,
    "tracker": Tracker,
    "cache": Cache,
    "server": Server,
    "monitor": Monitor,
}
