"""A fit of files that are read in batches, beside the bare library on the same rows in memory.

`pytest -s -m benchmark tests/benchmarks/bench_large.py`; $BENCH_ROWS, 2,000,000 by default, of 20 numbers and a category.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from pyarrow import parquet

from automl import AutoML
from automl_core.settings import Settings
from automl_lightgbm.learner import LightGBMLearner
from automl_xgboost.learner import XGBoostLearner

pytestmark = pytest.mark.benchmark
ROWS = int(os.environ.get("BENCH_ROWS", "2000000"))
FILES, COLUMNS, THREADS, ROUNDS = 8, 20, 2, 100
TOWNS = 50
LEARNERS = {"lightgbm": LightGBMLearner, "xgboost": XGBoostLearner}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    rng, effect = np.random.default_rng(0), np.random.default_rng(1).normal(size=TOWNS)
    for number in range(FILES):
        x, town = rng.normal(size=(ROWS // FILES, COLUMNS)).astype(np.float32), rng.integers(0, TOWNS, ROWS // FILES)
        score = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + effect[town] + rng.normal(size=len(x))
        columns = {f"x{i}": x[:, i] for i in range(COLUMNS)}
        columns |= {"town": np.char.add("town", town.astype(str)), "y": np.where(score > 0, "yes", "no")}
        parquet.write_table(pa.table(columns), folder / f"{number}.parquet", row_group_size=50_000)
    return folder


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows in memory, towns as codes."""
    table = parquet.read_table(folder)
    values = np.empty((table.num_rows, COLUMNS + 1), dtype=np.float32)
    for place in range(COLUMNS):
        values[:, place] = table[f"x{place}"].to_numpy()
    values[:, COLUMNS] = table["town"].combine_chunks().dictionary_encode().indices.to_numpy()
    return values, (table["y"].to_numpy() == "yes").astype(np.float64)


def by_lightgbm(folder: Path, params: Mapping[str, Any], rounds: int) -> None:
    values, target = read(folder)
    given = {"objective": "binary", "verbosity": -1, "num_threads": THREADS, "force_col_wise": True, **params}
    lgb.train(given, lgb.Dataset(values, target, categorical_feature=[COLUMNS]), rounds)


def by_xgboost(folder: Path, params: Mapping[str, Any], rounds: int) -> None:
    values, target = read(folder)
    types = [*("q" for _ in range(COLUMNS)), "c"]
    matrix = xgb.QuantileDMatrix(values, target, feature_types=types, enable_categorical=True, nthread=THREADS)
    given = {"objective": "binary:logistic", "tree_method": "hist", "nthread": THREADS, "verbosity": 0, **params}
    xgb.train(given, matrix, rounds)


@pytest.mark.parametrize(("name", "bare"), [("lightgbm", by_lightgbm), ("xgboost", by_xgboost)])
def test_fit_in_batches_beside_the_bare_library(
    folder: Path, name: str, bare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[float] = []
    kind, fit = LEARNERS[name], LEARNERS[name].fit_distributed
    monkeypatch.setattr(f"automl_{name}.learner.MAX_ROUNDS", ROUNDS)

    def timed(learner: Any, source: Any, job: Any) -> Any:
        started = time.perf_counter()
        model = fit(learner, source, job)
        taken.append(time.perf_counter() - started)
        return model

    monkeypatch.setattr(kind, "fit_distributed", timed)
    settings = Settings(learners=(name,), search="random", storage="memory", executor="serial")
    engine = AutoML(
        max_trials=1, time_limit=None, n_jobs=THREADS, folds=1, settings=settings, memory_limit=16 * ROWS * COLUMNS // 4
    )
    started = time.perf_counter()
    engine.fit(folder, target="y")
    whole = time.perf_counter() - started
    row = next(row for row in engine.leaderboard() if row["name"].endswith("on all rows"))
    started = time.perf_counter()
    bare(folder, row["params"], row["rounds"])
    plain = time.perf_counter() - started
    print(
        f"\n{name}, {row['rows']:,} of {ROWS:,} rows, {row['rounds']} rounds: {row['rows'] / taken[-1]:,.0f} rows/s in the fit on "
        f"all rows, {ROWS / plain:,.0f} by the bare library with its reading: {taken[-1] / plain * ROWS / row['rows']:.2f} times as "
        f"long a row; with the pass, the search and the score {whole:.1f} s for {plain:.1f}",
        end="",
    )
