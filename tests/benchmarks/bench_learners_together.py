"""One model of 200,000 rows fitted by two processes together, a thread each, beside one process with one thread.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_learners_together.py`, on two cores that nothing else needs.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

lgb = pytest.importorskip("lightgbm")
pytest.importorskip("automl_lightgbm")
pytest.importorskip("automl_xgboost")

pytestmark = pytest.mark.benchmark

ROWS, VALID, COLUMNS, ROUNDS, MEMBERS = 200_000, 10_000, 20, 100, 2
BATCH, SAMPLE = 1 << 15, 50_000
HERE = "127.0.0.1"
PARAMS: dict[str, dict[str, Any]] = {
    "lightgbm": {"learning_rate": 0.05, "num_leaves": 31},
    "xgboost": {"learning_rate": 0.05, "max_depth": 6},
}


@dataclass
class Rows:
    values: Any
    target: Any

    @property
    def rows(self) -> int:
        return len(self.target)

    def __iter__(self) -> Iterator[tuple[Any, Any, None]]:
        for start in range(0, self.rows, BATCH):
            yield self.values[start : start + BATCH], self.target[start : start + BATCH], None


def make(name: str) -> tuple[Rows, Any]:
    """Return all rows to learn from, and the job of all members."""
    from automl_core import Column, Data, Job

    rng = np.random.default_rng(0)
    values = rng.normal(size=(ROWS + VALID, COLUMNS)).astype(np.float32)
    signal = values[:, 1] + values[:, 2] * values[:, 3] + np.sin(values[:, 0])
    target = (signal + rng.normal(size=len(signal)) > 0).astype(np.float64)
    known = np.r_[:SAMPLE, ROWS : ROWS + VALID]
    data = Data(values[known], tuple(Column(f"x{j}") for j in range(COLUMNS)), target[known])
    train, valid = np.arange(SAMPLE), np.arange(SAMPLE, SAMPLE + VALID)
    return Rows(values[:ROWS], target[:ROWS]), Job(data, train, valid, "binary", 2, PARAMS[name], rounds=ROUNDS)


def learner_of(name: str) -> Any:
    from automl_lightgbm.learner import LightGBMLearner
    from automl_xgboost.learner import XGBoostLearner

    return {"lightgbm": LightGBMLearner, "xgboost": XGBoostLearner}[name]()


def half(rows: Rows, rank: int) -> Rows:
    return Rows(rows.values[rank::MEMBERS], rows.target[rank::MEMBERS])


def fit_alone(name: str, rank: int, place: Mapping[str, Any]) -> Callable[[], Any]:
    rows, job = make(name)
    return lambda: learner_of(name).fit_distributed(rows, job)


def fit_together(name: str, rank: int, place: Mapping[str, Any]) -> Callable[[], Any]:
    rows, job = make(name)
    mine = half(rows, rank)
    return lambda: learner_of(name).fit_together(mine, job, place)


def fit_bare(name: str, rank: int, place: Mapping[str, Any]) -> Callable[[], Any]:
    """Return a fit by LightGBM's own sockets."""
    rows, job = make(name)
    mine, data = half(rows, rank), job.data
    options = {"verbosity": -1, "num_threads": 1, "force_col_wise": True, "objective": "binary", **job.params}
    network = {**place, "local_listen_port": place["ports"][rank], "num_machines": MEMBERS, "tree_learner": "data"}
    network.pop("ports")

    def fit() -> Any:
        train = lgb.Dataset(mine.values, mine.target)
        valid = lgb.Dataset(data.values[job.valid], data.target[job.valid], reference=train)
        return lgb.train({**options, **network}, train, ROUNDS, valid_sets=[valid])

    return fit


def work(prepare: str, name: str, rank: str, place: str) -> None:
    """Fit in this process once told to on the standard input, and print the seconds that it took."""
    fit = globals()[prepare](name, int(rank), json.loads(place))
    print("ready", flush=True)
    input()
    start = time.perf_counter()
    fit()
    print(time.perf_counter() - start, flush=True)


def measure(prepare: Callable[..., Any], name: str, members: int, place: Mapping[str, Any]) -> float:
    """Return the seconds of the slowest of the processes."""
    calls = [[prepare.__name__, name, str(rank), json.dumps(place)] for rank in range(members)]
    with ExitStack() as running:
        each = [running.enter_context(_start(call)) for call in calls]
        assert [process.stdout.readline() for process in each] == ["ready\n"] * members
        for process in each:
            print(file=process.stdin, flush=True)
        said = [process.communicate(timeout=150)[0] for process in each]
    return max(float(lines.split("\n")[-2]) for lines in said)  # the libraries print, too


@contextmanager
def _start(call: list[str]) -> Iterator[Any]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, __file__, *call], stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def bare_place() -> dict[str, Any]:
    with socket.create_server((HERE, 0)) as one, socket.create_server((HERE, 0)) as two:
        ports = [one.getsockname()[1], two.getsockname()[1]]
    return {"ports": ports, "machines": ",".join(f"{HERE}:{port}" for port in ports)}


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_two_processes_beside_one(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    alone = measure(fit_alone, name, 1, {})
    with learner_of(name).meet(MEMBERS, HERE) as place:
        together = measure(fit_together, name, MEMBERS, place)
    said = f"{name}, {ROWS} x {COLUMNS}, {ROUNDS} rounds: {together:.2f} s in {MEMBERS} processes, {alone:.2f} s in one"
    said += f" ({alone / together:.2f} times as fast)"
    if name == "lightgbm":
        bare = measure(fit_bare, name, MEMBERS, bare_place())
        said += f"; by LightGBM's own sockets {bare:.2f} s ({together / bare:.2f} times)"
    with capsys.disabled():
        print(f"\n{said}", end="")


if __name__ == "__main__":
    work(*sys.argv[1:])
