"""The eight kinds of component, and the optional powers that some of them have.

A kind is a small abstract class with concrete defaults. A power is a `runtime_checkable` protocol: the engine asks
`isinstance(component, Power)` and does without where the answer is no.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

from automl_core.component import Component
from automl_core.learners import Candidate, Distributed, Exports, Learner, Portable, Portfolio, Resumes, Staged

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from pathlib import Path

    from automl_core.records import Event, Study, Trial
    from automl_core.space import Space

__all__ = [
    "KINDS",
    "Batches",
    "Cache",
    "Candidate",
    "Component",
    "Distributed",
    "Drives",
    "Evaluate",
    "Executor",
    "Exports",
    "Exposes",
    "Fetches",
    "Learner",
    "Located",
    "Lockable",
    "Monitor",
    "Portable",
    "Portfolio",
    "Registry",
    "Resumes",
    "Search",
    "Server",
    "Shared",
    "Shares",
    "Staged",
    "Storage",
    "Tabular",
    "Tracker",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


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


@runtime_checkable
class Tabular(Protocol):
    """A storage that opens a data set by URI."""

    def table(self, uri: str, *, columns: Sequence[str] | None = None) -> Any:
        """Return a `pyarrow.dataset.Dataset` for a file, folder or glob.

        Raises:
            DataError: the data is missing, unreadable or of an unknown format.
        """
        ...


@runtime_checkable
class Located(Protocol):
    """A storage that also reads and writes whole files at URIs of its scheme, beside its logs and blobs."""

    def locate(self, uri: str) -> list[str]:
        """Return the URIs of the files that a file, folder or glob stands for, sorted.

        Raises:
            DataError: there is none.
        """
        ...

    def open_uri(self, uri: str) -> BinaryIO:
        """Open a file for reading anywhere in it.

        Raises:
            DataError: there is none.
        """
        ...

    def put_uri(self, uri: str, data: bytes) -> None:
        """Write a file atomically: a reader sees the old one or the new one."""
        ...


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


class Shared(ABC, Generic[T_co]):
    """A picklable reference to a value that was put once; `get` is cheap in every worker."""

    @abstractmethod
    def get(self) -> T_co:
        """Return the value; the caller must not change it."""


@runtime_checkable
class Shares(Protocol):
    """An executor that moves a large value to its workers once."""

    def share(self, value: T) -> Shared[T]:
        """Put `value` where every worker can reach it, until the executor is closed."""
        ...


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


Evaluate: TypeAlias = "Callable[[Trial], Iterator[tuple[Any, float]]]"


@runtime_checkable
class Drives(Protocol):
    """A search that runs the whole loop itself, with early stopping inside trials."""

    def drive(
        self,
        evaluate: Evaluate,
        *,
        steps: int,
        seconds: float | None,
        first: Sequence[Trial] = (),
        trials: int | None = None,
    ) -> Iterator[tuple[Trial, Any]]:
        """Evaluate trials where and when it likes; yield each as it ends, once, with what `evaluate` made of it.

        Called after `begin`; trials told before that are known already. Closing the iterator stops what still runs.

        Args:
            evaluate: picklable. Called as `evaluate(trial)`, it yields after each of `steps` steps: a state of the
                caller's, and the mean loss so far. Whoever drives may stop asking it after any step.
            steps: of a whole trial, at least 1.
            seconds: until it ends by itself; None without a limit.
            first: trials to evaluate before its own, whose ids follow on theirs.
            trials: how many at most, those of `first` included; None without a limit.

        Yields:
            A trial that is COMPLETE, with the last state that `evaluate` yielded for it; or one that is PRUNED or
            FAILED, with None. `seconds` is what it took, where that is known.

        Raises:
            ComponentUnavailable: what it runs on is not there, or is lost.
        """
        ...


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


@runtime_checkable
class Registry(Protocol):
    """A tracker that keeps versions and aliases of models."""

    def register(self, name: str, path: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Store a model file and return its version."""
        ...

    def resolve(self, name: str, version: str) -> Path:
        """Return a local file for a version or an alias.

        Raises:
            KeyError: there is no such model, version or alias.
        """
        ...

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, or at what another alias points at now: a promotion.

        Raises:
            KeyError: there is no such model, version or alias.
        """
        ...

    def versions(self, name: str) -> Sequence[str]:
        """List the versions, oldest first; empty for an unknown model."""
        ...

    def aliases(self, name: str) -> Mapping[str, str]:
        """Return the version that each alias points at; empty for an unknown model."""
        ...

    def rollback(self, name: str, alias: str) -> str:
        """Point an alias at the version that it had before, and return that; repeated, it goes back further.

        Raises:
            KeyError: there is no such model or alias, or nothing before.
        """
        ...

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """Return what a version or alias was registered with.

        Raises:
            KeyError: there is no such model, version or alias.
        """
        ...


@runtime_checkable
class Fetches(Protocol):
    """A tracker that gives out models of its runs."""

    def fetch(self, uri: str) -> Path:
        """Return a local copy of a model at `runs:/RUN/PATH`.

        Raises:
            DataError: there is no such model.
        """
        ...


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


@runtime_checkable
class Batches(Protocol):
    """A cache that takes many keys in one round trip."""

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return one value or None per key, in order."""
        ...

    def set_many(self, items: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        """Store several values."""
        ...


@runtime_checkable
class Lockable(Protocol):
    """A cache that also gives locks."""

    def lock(self, key: str, *, ttl: float) -> AbstractContextManager[bool]:
        """Hold a lock for at most `ttl` seconds; enters with False where another holder has it."""
        ...


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


@runtime_checkable
class Exposes(Protocol):
    """A monitor that answers a scrape."""

    def expose(self) -> tuple[str, bytes]:
        """Return (content type, body)."""
        ...


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
