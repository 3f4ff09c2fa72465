"""What only some storages, executors, searches, trackers, caches and monitors can do.

A power is a `runtime_checkable` protocol: the engine asks `isinstance(component, Power)` and does without where the answer
is no. Those of learners are in `automl_core.learners` and `automl_core.gangs`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from automl_core.records import Trial

__all__ = [
    "Batches",
    "Drives",
    "Evaluate",
    "Exposes",
    "Fetches",
    "Located",
    "Lockable",
    "Registry",
    "Shared",
    "Shares",
    "Tabular",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Evaluate: TypeAlias = "Callable[[Trial], Iterator[tuple[Any, float]]]"


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


@runtime_checkable
class Exposes(Protocol):
    """A monitor that answers a scrape."""

    def expose(self) -> tuple[str, bytes]:
        """Return (content type, body)."""
        ...
