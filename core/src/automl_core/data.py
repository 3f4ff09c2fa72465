"""What a learner sees: one encoded table, and the job of fitting some of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl_core.space import Params

__all__ = ["BINARY", "MULTICLASS", "REGRESSION", "TASKS", "Column", "Data", "Job", "Model"]

BINARY, MULTICLASS, REGRESSION = "binary", "multiclass", "regression"
TASKS = frozenset({BINARY, MULTICLASS, REGRESSION})


@dataclass(frozen=True, slots=True)
class Column:
    """One encoded column.

    Attributes:
        categories: 0 for a number, else the count of codes 0 .. categories - 1, in falling order of frequency.
        monotone: 1 where the prediction may only grow with the column, -1 where it may only fall, else 0.
    """

    name: str
    categories: int = 0
    monotone: int = 0

    @property
    def categorical(self) -> bool:
        return self.categories > 0


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """An encoded table, shared by all fits of a study and never written to.

    Attributes:
        values: float32, shape (rows, columns), C-contiguous. NaN is missing. A categorical column holds its code
            as a whole number; a category unseen in training is NaN. Never infinite.
        columns: one per column of `values`.
        target: float64, shape (rows,): the number, or the class as 0 .. classes - 1.
        weight: float64, shape (rows,), non-negative; None means all rows count the same.
        key: identifies the content, so that what is derived from it (a binned data set) can be cached and shared.
    """

    values: NDArray[np.float32]
    columns: tuple[Column, ...]
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Fit `params` on some rows of `data`.

    Attributes:
        data: the whole encoded table.
        train: int64 row numbers to learn from.
        valid: int64 row numbers to watch for early stopping; None fits without any, for `rounds` rounds.
        task: "binary", "multiclass" or "regression".
        classes: the number of classes; 0 for regression.
        params: a point of the learner's space; what is missing takes the learner's default.
        rounds: for learners that fit in rounds: how many, instead of stopping early; None lets the learner decide.
        seconds: wall clock that this fit may take; a learner that fits in rounds stops in time and returns what it has,
            after at least one round.
        seed: the same job with the same seed gives the same model.
        threads: how many threads the fit may use.
        objective: what to minimise, in scikit-learn's words: "log_loss", "squared_error", "absolute_error",
            "quantile:0.9"; empty, or unknown to the learner, stands for the usual one of the task.
    """

    data: Data
    train: NDArray[np.int64]
    valid: NDArray[np.int64] | None
    task: str
    classes: int
    params: Params
    rounds: int | None = None
    seconds: float | None = None
    seed: int = 0
    threads: int = 1
    objective: str = ""


class Model(Protocol):
    """A fitted model; picklable. Its optional powers are `Staged` and `Exports`."""

    @property
    def rounds(self) -> int | None:
        """Rounds that `predict` uses, the best ones after early stopping; None where the learner has no rounds."""
        ...

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict encoded rows of shape (rows, columns).

        Returns:
            float64: numbers of shape (rows,) for regression, probabilities of shape (rows, classes) that sum to one
            for binary and multiclass, in the order of the codes. Always finite.
        """
        ...
