"""What a service says, and why it may say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl_core import BINARY, AutoMLError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl.service.served import Served

__all__ = ["Answer", "Expired", "Overloaded", "TooManyRows", "Unknown"]


class Unknown(AutoMLError, KeyError):
    """There is no model of this name or version."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0])


class Overloaded(AutoMLError):
    """More rows wait than can be answered in time; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Expired(AutoMLError):
    """The deadline passed before the prediction was due."""


class TooManyRows(AutoMLError, ValueError):
    """A request has more rows than allowed."""


@dataclass(slots=True, eq=False)  # not frozen: three times as fast to make, once for each request
class Answer:
    """One prediction of some rows.

    Attributes:
        served: the one model that predicted all of them.
        said: float64: numbers (rows,) for regression, else probabilities (rows, classes).
        hits: how many of the rows came from a cache.
    """

    served: Served
    said: NDArray[np.float64]
    hits: int = 0

    @property
    def rows(self) -> int:
        return len(self.said)

    @property
    def labels(self) -> NDArray[Any]:
        """Labels, or numbers for regression, shape (rows,)."""
        return self.served.model.decide(self.said)

    @property
    def listed(self) -> list[Any]:
        """The labels as a list of plain values, without numpy where there is one row: four times faster."""
        served = self.served
        if len(self.said) == 1 and served.model.task == BINARY:
            return [served.classes[self.said.item(1) >= served.model.threshold]]
        labels: list[Any] = self.labels.tolist()
        return labels
