from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core import Column, Data, Distributed, FitsTogether, Job
from automl_xgboost.learner import XGBoostLearner
from automl_xgboost.model import XGBoostModel

ROWS = 6000


@dataclass
class Rows:
    """Rows in batches of odd sizes."""

    values: NDArray[np.float32]
    target: NDArray[np.float64]

    @property
    def rows(self) -> int:
        return len(self.target)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], None]]:
        for place in (slice(0, 1), slice(1, 1500), slice(1500, None)):
            yield self.values[place], self.target[place], None


def make(task: str) -> Rows:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, 5, ROWS)
    score = values[:, 0] + 2 * (values[:, 2] == 3) + rng.normal(size=ROWS)
    return Rows(values, 1e6 + score if task == "regression" else (score > 0.5).astype(np.float64))


def job(rows: Rows, task: str, **options: Any) -> Job:
    """Watch the last 1,000 rows."""
    columns = (Column("a"), Column("b"), Column("c", categories=5))
    return Job(
        Data(rows.values, columns, rows.target), np.arange(ROWS - 1000), np.arange(ROWS - 1000, ROWS), task,
        0 if task == "regression" else 2, {}, **options,
    )  # fmt: skip


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_streamed_rows_give_about_the_model_of_rows_in_memory(task: str) -> None:
    rows, learner = make(task), XGBoostLearner()
    order = job(rows, task)
    assert isinstance(learner, Distributed)
    streamed = learner.fit_distributed(Rows(rows.values[:-1000], rows.target[:-1000]), order)
    whole = learner.fit(order)
    assert min(streamed.curve) == pytest.approx(min(whole.curve), rel=0.01)


def fit_half(learner: XGBoostLearner, low: bool, seconds: float | None, place: Any) -> XGBoostModel:
    """Fit with the rows of low, or of high values of the first column, of which alone no model could be good."""
    rows = make("binary")
    mine = np.flatnonzero((rows.values[:-1000, 0] < 0) == low)
    return learner.fit_together(Rows(rows.values[mine], rows.target[mine]), job(rows, "binary", seconds=seconds), place)


@pytest.mark.parametrize("seconds", [None, 0.01])
def test_two_members_fit_one_model_of_all_rows(seconds: float | None) -> None:
    rows, learner = make("binary"), XGBoostLearner()
    assert isinstance(learner, FitsTogether)
    # XGBoost keeps a member in a thread: two of them are as good as two processes.
    with ThreadPoolExecutor(2) as pool, learner.meet(2, "127.0.0.1") as place:
        futures = [pool.submit(fit_half, learner, low, seconds, place) for low in (False, True)]
        first, second = (future.result() for future in futures)
    assert first.rounds == second.rounds
    np.testing.assert_array_equal(first.predict(rows.values[-1000:]), second.predict(rows.values[-1000:]))
    if seconds is None:
        assert min(first.curve) == pytest.approx(min(learner.fit(job(rows, "binary")).curve), rel=0.02)
