"""A table several times larger than the memory that a fit may take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

ROWS, COLUMNS, PARTS = 40_000, 48, 10  # 154 MB of numbers in all
LIMIT = 32 << 20

SCRIPT = """
import json, resource, sys
from automl import AutoML
from automl_core.settings import Settings

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def fit(data, limit):
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    engine = AutoML(max_trials=1, time_limit=TIME, n_jobs=1, folds=1, settings=settings, memory_limit=limit)
    return engine.fit(data, target="y")

folder, small, limit, TIME = sys.argv[1], sys.argv[2], int(sys.argv[3]), 5.0
fit(small, None)  # loads the libraries
before = peak()
TIME = 60.0
model = fit(folder, limit)
score = model.score(small)
print(json.dumps({"grown": peak() - before, "score": score, "info": model.model_.info,
                  "board": model.leaderboard().rows}, default=str))
"""


def write(path: Path, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    y = x[:, 0] + np.sin(3 * x[:, 1]) * 2 + x[:, 2] * x[:, 3] + rng.normal(size=rows)
    columns = {f"x{i}": x[:, i] for i in range(COLUMNS)}
    parquet.write_table(pa.table({**columns, "y": np.where(y > 0, "yes", "no")}), path, row_group_size=10_000)


@pytest.mark.slow
def test_fit_of_a_table_of_four_times_its_memory(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(PARTS):
        write(tmp_path / f"parts/{number}.parquet", ROWS, number)
    write(tmp_path / "small.parquet", 4000, 99)
    size = sum(parquet.read_table(path).nbytes for path in (tmp_path / "parts").iterdir())
    assert size > 4 * LIMIT
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "parts"), str(tmp_path / "small.parquet"), str(LIMIT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(found["grown"] >> 20, "MiB more for", size >> 20, found["score"], found["info"]["scores"])
    assert found["info"]["all_rows"] == ROWS * PARTS
    assert found["grown"] < 0.75 * size  # of which about 50 MiB are Arrow's and LightGBM's, whatever the size
    assert found["score"] > 0.75
