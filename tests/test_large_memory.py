"""A table several times larger than the memory that a fit may take, by a limit of the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

ROWS, COLUMNS, PARTS = 60_000, 48, 27  # 622 MB of numbers in all
ALLOWED = 144 << 20  # bytes that the process may take on top of its libraries; the kernel refuses more
LIMIT = 16 << 20

SCRIPT = """
import json, re, resource, sys, threading
from pathlib import Path
from automl import AutoML
from automl.large import refit
from automl_core.settings import Settings
from automl_lightgbm import learner

threading.stack_size(1 << 20)

learner.MAX_ROUNDS = 100  # no limit of time, which a busy machine would spend elsewhere

def fit(data, limit):
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    engine = AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings, memory_limit=limit)
    return engine.fit(data, target="y")

folder, small, limit, allowed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
fit(small, 1 << 20).score(small)  # loads the libraries, and starts their threads
held = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + allowed, held + allowed))
model = fit(folder, limit)
members, refit.MEMBERS = refit.MEMBERS, 0
sample = fit(folder, limit)
refused = False
try:
    bytearray(allowed)
except MemoryError:
    refused = True
print(json.dumps({"refused": refused, "score": model.score(small), "sample": sample.score(small),
                  "info": model.model_.info, "board": model.leaderboard().rows}, default=str))
"""


def write(path: Path, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    y = x[:, 0] + np.sin(3 * x[:, 1]) * 2 + x[:, 2] * x[:, 3] + rng.normal(size=rows)
    columns = {f"x{i}": x[:, i] for i in range(COLUMNS)}
    parquet.write_table(
        pa.table({**columns, "y": np.where(y > 0, "yes", "no")}), path, row_group_size=10_000, use_dictionary=False
    )


@pytest.mark.slow
def test_fit_of_a_table_of_four_times_its_memory(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(PARTS):
        write(tmp_path / f"parts/{number}.parquet", ROWS, number)
    write(tmp_path / "small.parquet", 4000, 99)
    size = sum(parquet.read_table(path).nbytes for path in (tmp_path / "parts").iterdir())
    assert size > 4 * ALLOWED
    arguments = [tmp_path / "parts", tmp_path / "small.parquet", LIMIT, ALLOWED]
    # Other allocators reserve more than they use.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{size >> 20} MiB within {ALLOWED >> 20}: {found['score']:.4f}, of the sample alone {found['sample']:.4f}")
    assert found["refused"]
    assert found["info"]["all_rows"] == ROWS * PARTS
    rows = [row["rows"] for row in found["board"] if row["name"].endswith("on all rows")]
    assert min(rows) > 10 * found["info"]["sample_rows"]
    assert found["score"] >= found["sample"] - 0.005
