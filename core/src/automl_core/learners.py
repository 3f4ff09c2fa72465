"""Learners, and the powers of learners and of their models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from automl_core.component import Component

if TYPE_CHECKING:
    from automl_core.data import Column, Job, Model
    from automl_core.flat import Flat, Network
    from automl_core.space import Params, Space

__all__ = [
    "Candidate",
    "Distributed",
    "Exports",
    "Learner",
    "Portable",
    "Portfolio",
    "Resumes",
    "Staged",
]


class Learner(Component, ABC):
    """Fits models of one family. Picklable; one instance fits many jobs, from several threads at once.

    Attributes:
        tasks: what it can do. objectives: which words of `Job.objective`, up to a colon, `fit` minimises beside the usual
            one of the task. A study of a quantile takes only learners that name "quantile".
    """

    tasks: ClassVar[frozenset[str]]
    objectives: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def space(self, task: str) -> Space:
        """Return what a search may choose for this task."""

    @abstractmethod
    def fit(self, job: Job) -> Model:
        """Fit one model; see `Job`. Does not write to the job's data.

        Raises:
            ValueError: a parameter is unknown or out of bounds.
        """

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        """Estimate the bytes that one fit needs beside the encoded table."""
        return 8 * rows * columns * 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration worth trying before any search.

    Attributes:
        params: a point of the learner's space; what is missing takes the learner's default.
        rank: place in the order over all learners, lower first: below 10 for one that belongs in every ensemble,
            10 to 100 for variants, above 100 for what only long runs should reach. Equal ranks follow the settings.
        view: the columns to fit on: "base", the encoded table; "encoded", where target encodings stand for
            categories of many levels; "derived", which adds crosses of categories and arithmetic of numbers.
    """

    params: Params
    rank: float = 50.0
    view: str = "base"


@runtime_checkable
class Portfolio(Protocol):
    """A learner that knows configurations worth trying first."""

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        """Return configurations for a table of this shape."""
        ...


@runtime_checkable
class Staged(Protocol):
    """A fitted model that knows its validation loss by round, and can be cut back."""

    @property
    def curve(self) -> Sequence[float]:
        """Loss on the job's valid rows after round 1, 2, ...; goes on past the best round to where fitting ended."""
        ...

    def cut(self, rounds: int) -> Model:
        """Return the same model as it was after `rounds` rounds, at most len(curve); cheap, shares memory."""
        ...


@runtime_checkable
class Exports(Protocol):
    """A fitted model that can be written as flat arrays and then needs no training library."""

    def export(self) -> Flat | Network | None:
        """Return the arrays, equal to `predict` within 1e-6, or None where this model has no such form."""
        ...


@runtime_checkable
class Portable(Protocol):
    """A learner that stores its models in its library's own safe format."""

    def dump(self, model: Model) -> bytes:
        """Return the model in a format whose loading runs no code from the file."""
        ...

    def load(self, data: bytes) -> Model:
        """Return the model that `dump` wrote.

        Raises:
            ValueError: the bytes are no such model.
        """
        ...


@runtime_checkable
class Distributed(Protocol):
    """A learner that fits data larger than memory."""

    def fit_distributed(self, source: Any, job: Job) -> Model:
        """Fit on all rows of a source.

        Args:
            source: has `rows`, how many there are, and can be iterated again and again, each time in the same order:
                batches of (float32 values of shape (n, columns), float64 targets of shape (n,), weights or None).
            job: `data` holds a sample of these rows (`train`), and rows that the source does not have (`valid`).
        """
        ...


@runtime_checkable
class Resumes(Protocol):
    """A learner that goes on from an earlier model."""

    def resume(self, model: Model, job: Job) -> Model:
        """Fit further rounds on top of `model`."""
        ...
