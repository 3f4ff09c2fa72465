"""One fit in several processes at once: what a learner and an executor need for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from automl_core.data import Job, Model

__all__ = ["FitsTogether", "Gangs"]

T = TypeVar("T")


@runtime_checkable
class FitsTogether(Protocol):
    """A learner that fits one model in several processes, each of which reads its own share of the rows."""

    def meet(self, members: int, host: str) -> AbstractContextManager[Mapping[str, Any]]:
        """Open a place for so many processes to meet, at the address `host` of this machine, as long as the context lasts.

        Returns:
            what `fit_together` needs to find it, picklable.
        """
        ...

    def fit_together(self, source: Any, job: Job, place: Mapping[str, Any]) -> Model:
        """Fit on the rows of all members; called in each of them at the same time, which all return the same model.

        Args:
            source: the rows of this member alone: `rows`, how many there are, which may read them once; can be iterated
                again and again, each time in the same order: batches of (float32 values of shape (n, columns), float64
                targets of shape (n,), weights or None).
            job: the same for all: `data` holds a sample of all rows (`train`), and rows that no source has (`valid`).

        Raises:
            RuntimeError: another member was lost.
        """
        ...


@runtime_checkable
class Gangs(Protocol):
    """An executor whose workers are processes that can run calls at the same time, and reach each other and this one."""

    @property
    def members(self) -> int:
        """How many calls a gang may have: one for each worker."""
        ...

    @property
    def host(self) -> str:
        """The address of this machine by which workers reach it."""
        ...

    def gang(self, fn: Callable[..., T], arguments: Sequence[tuple[Any, ...]]) -> list[Future[T]]:
        """Call `fn(*args)` for each of the arguments, each on a worker of its own, all at the same time.

        Where a worker is lost, all futures that are not done end with a ConnectionError.
        """
        ...
