from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core import Column, Data, FitsTogether, Job
from automl_lightgbm.learner import LightGBMLearner
from automl_lightgbm.model import LightGBMModel

ROWS, VALID = 6000, 1000
HERE = "127.0.0.1"
CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}


@dataclass
class Rows:
    """Rows in batches of odd sizes."""

    values: NDArray[np.float32]
    target: NDArray[np.float64]
    weight: NDArray[np.float64]
    read: Callable[[], None] = lambda: None  # called when the last are read

    @property
    def rows(self) -> int:
        return len(self.target)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]]:
        for place in (slice(0, 1), slice(1, 900), slice(900, None)):
            if place.stop is None:
                self.read()
            yield self.values[place], self.target[place], self.weight[place]

    def take(self, rows: NDArray[np.int64] | slice) -> Rows:
        return Rows(self.values[rows], self.target[rows], self.weight[rows])


def make(task: str) -> Rows:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS, 5)).astype(np.float32)
    values[:, 2] = rng.integers(0, 5, ROWS)
    values[rng.random(values.shape) < 0.02] = np.nan
    score = np.nan_to_num(values[:, 0]) + 2 * (values[:, 2] == 3) + rng.normal(size=ROWS)
    target = 1e6 + score if task == "regression" else np.digitize(score, [0.5, 1.5][: CLASSES[task] - 1])
    return Rows(values, target.astype(np.float64), rng.uniform(0.5, 2, ROWS))


def job(rows: Rows, task: str, **options: Any) -> Job:
    """Know the first 4,000 rows, and watch the last 1,000."""
    columns = (Column("a"), Column("b"), Column("c", categories=5), Column("d"), Column("e"))
    data = Data(rows.values, columns, rows.target, weight=rows.weight)
    return Job(
        data, np.arange(4000), np.arange(ROWS - VALID, ROWS), task, CLASSES[task], {"learning_rate": 0.1}, **options
    )


def share(rows: Rows, rank: int, members: int = 2) -> Rows:
    """Return the rows of low, or of high values of the first column, of which alone no model could be good."""
    return rows.take(np.array_split(np.argsort(rows.values[:-VALID, 0]), members)[rank])


def fit_together(rows: Rows, order: Job, members: int = 2) -> list[LightGBMModel]:
    """Fit with several members; LightGBM keeps a member in a thread, so threads are as good as processes."""
    learner = LightGBMLearner()
    with ThreadPoolExecutor(members) as pool, learner.meet(members, HERE) as place:
        shares = [share(rows, rank, members) for rank in range(members)]
        futures = [pool.submit(learner.fit_together, mine, order, place) for mine in shares]
        return [future.result() for future in futures]


@pytest.mark.parametrize(("task", "members"), [("binary", 2), ("multiclass", 3), ("binary", 6)])
def test_members_fit_the_model_of_all_rows(task: str, members: int) -> None:
    rows, learner = make(task), LightGBMLearner()
    assert isinstance(learner, FitsTogether)
    # So large leaves that none is near the least number of rows, which several members estimate from hessians.
    order = replace(job(rows, task, rounds=20), params={"num_leaves": 8, "min_data_in_leaf": 1})
    first, *others = fit_together(rows, order, members)
    alone = learner.fit_distributed(rows.take(slice(None, -VALID)), order)
    for other in others:
        np.testing.assert_array_equal(first.predict(rows.values), other.predict(rows.values))
    np.testing.assert_allclose(first.predict(rows.values), alone.predict(rows.values), rtol=1e-6)
    np.testing.assert_allclose(first.curve, alone.curve, rtol=1e-6)
    assert first.export().cover is not None


@pytest.mark.parametrize(("task", "objective"), [("binary", ""), ("regression", ""), ("regression", "absolute_error")])
def test_valid_rows_end_the_fit_of_all_members(task: str, objective: str) -> None:
    rows = make(task)
    order = job(rows, task, objective=objective)
    first, second = fit_together(rows, order)
    alone = LightGBMLearner().fit_distributed(rows.take(slice(None, -VALID)), order)
    assert first.rounds == second.rounds < len(first.curve) == len(second.curve)
    np.testing.assert_array_equal(first.predict(rows.values), second.predict(rows.values))
    # LightGBM starts several members from the mean of their means or medians, which is not that of all rows.
    assert min(first.curve) == pytest.approx(min(alone.curve), rel=0.02)


def test_time_ends_the_fit_of_all_members_after_the_same_round() -> None:
    rows = make("binary")
    first, second = fit_together(rows, job(rows, "binary", rounds=5000, seconds=0.3))
    assert first.rounds == second.rounds < 5000
    np.testing.assert_array_equal(first.predict(rows.values), second.predict(rows.values))


MEMBER = """
import json, runpy, sys
path, place = sys.argv[1:]
runpy.run_path(path)["fit_without_end"](json.loads(place))
"""


def fit_without_end(place: Any) -> LightGBMModel:
    rows = make("binary")
    mine = replace(share(rows, 1), read=lambda: print("read", flush=True))
    return LightGBMLearner().fit_together(mine, job(rows, "binary", rounds=1_000_000), place)


def test_lost_member_ends_the_others() -> None:
    rows, learner = make("binary"), LightGBMLearner()
    order = job(rows, "binary", rounds=1_000_000)
    with ThreadPoolExecutor(1) as pool, learner.meet(2, HERE) as place:
        call = [sys.executable, "-c", MEMBER, __file__, json.dumps(place)]
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as other:
            future = pool.submit(learner.fit_together, share(rows, 0), order, place)
            try:
                assert other.stdout is not None
                assert other.stdout.readline() == "read\n"
                time.sleep(0.3)  # then it is in the middle of its rounds
                assert not future.done()
            finally:
                other.kill()
            with pytest.raises(RuntimeError, match="another member was lost"):
                future.result(timeout=30)


class Damaged(Rows):
    def __iter__(self) -> Any:
        raise OSError("a damaged file")
        yield


def test_member_whose_rows_cannot_be_read_ends_the_others() -> None:
    rows, learner = make("binary"), LightGBMLearner()
    order = job(rows, "binary")
    with ThreadPoolExecutor(2) as pool, learner.meet(2, HERE) as place:
        damaged = pool.submit(learner.fit_together, Damaged(rows.values, rows.target, rows.weight), order, place)
        other = pool.submit(learner.fit_together, share(rows, 0), order, place)
        with pytest.raises(OSError, match="a damaged file"):
            damaged.result(timeout=30)
        with pytest.raises(RuntimeError, match="another member was lost"):
            other.result(timeout=30)


def test_members_wait_only_as_long_as_the_place_is_open() -> None:
    rows, learner = make("binary"), LightGBMLearner()
    with ThreadPoolExecutor(1) as pool:
        with learner.meet(2, HERE) as place:
            future = pool.submit(learner.fit_together, rows, job(rows, "binary"), place)
        with pytest.raises(RuntimeError, match="another member was lost before it began"):
            future.result(timeout=30)


@pytest.mark.parametrize("said", [b"", b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x02[]"])
def test_strangers_are_no_members(said: bytes) -> None:
    rows, learner = make("binary"), LightGBMLearner()
    order = job(rows, "binary", rounds=2)
    with (
        ThreadPoolExecutor(2) as pool,
        learner.meet(2, HERE) as place,
        socket.create_connection((place["host"], place["port"])) as stranger,
    ):
        stranger.sendall(said)
        stranger.shutdown(socket.SHUT_WR)
        futures = [pool.submit(learner.fit_together, share(rows, rank), order, place) for rank in range(2)]
        assert [future.result(timeout=30).rounds for future in futures] == [2, 2]
        assert not stranger.recv(1)
