from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core import Column, Data, Distributed, Job
from automl_lightgbm.binned import Target, bin_rows
from automl_lightgbm.learner import LightGBMLearner
from automl_lightgbm.stopping import Watch


@dataclass
class Rows:
    """Rows in batches of odd sizes."""

    values: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        return len(self.target)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]]:
        start = 0
        for size in (1, 70_000, 3, 65_536, len(self.target)):
            place = slice(start, start + size)
            start += size
            if len(self.target[place]):
                yield self.values[place], self.target[place], None if self.weight is None else self.weight[place]


def make(rows: int, task: str) -> Rows:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, 5, rows)
    score = values[:, 0] + 2 * (values[:, 2] == 3) + rng.normal(size=rows)
    return Rows(values, score if task == "regression" else (score > 0.5).astype(np.float64))


def job(rows: Rows, sample: int, task: str, **options: object) -> Job:
    data = Data(rows.values[:sample], (Column("a"), Column("b"), Column("c", categories=5)), rows.target[:sample])
    middle = sample * 3 // 4
    return Job(
        data,
        np.arange(middle),
        np.arange(middle, sample),
        task,
        0 if task == "regression" else 2,
        {},
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_stream_of_the_training_rows_gives_the_same_model(task: str) -> None:
    rows, learner = make(4000, task), LightGBMLearner()
    assert isinstance(learner, Distributed)
    order = job(rows, 4000, task, rounds=20)
    streamed = learner.fit_distributed(Rows(rows.values[:3000], rows.target[:3000]), order)
    target = Target.of(order.data.target[order.train]) if task == "regression" else Target()
    binned = bin_rows(order.data, order.train, 1, target=target)
    bare = learner._train(order, binned, None, Watch(order, time.monotonic()), None)
    said = bare.predict(rows.values)
    expected = target.told(said) if task == "regression" else np.column_stack([1 - said, said])
    np.testing.assert_allclose(streamed.predict(rows.values), expected, rtol=1e-9)


def test_rows_beyond_a_batch_all_count() -> None:
    rows, learner = make(150_000, "binary"), LightGBMLearner()
    model = learner.fit_distributed(rows, job(rows, 2000, "binary", rounds=3))
    forest = model.export()
    assert forest.cover is not None
    hessian = float(forest.cover[forest.roots[0]])
    share = rows.target.mean()
    assert hessian == pytest.approx(150_000 * share * (1 - share), rel=0.01) or hessian == pytest.approx(
        150_000, rel=0.01
    )


def test_weights_of_the_stream_count() -> None:
    rows, learner = make(4000, "binary"), LightGBMLearner()
    rows.weight = np.where(rows.target == 1, 1.0, 1e-3)
    weighted = learner.fit_distributed(rows, job(rows, 2000, "binary", rounds=20))
    assert weighted.predict(rows.values)[:, 1].mean() > 0.9


def test_valid_rows_end_the_fit() -> None:
    rows, learner = make(4000, "binary"), LightGBMLearner()
    model = learner.fit_distributed(rows, job(rows, 2000, "binary"))
    assert 0 < model.rounds <= len(model.curve)
