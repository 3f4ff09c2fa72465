"""A student beside its teacher and beside models of the same budget that were fitted without one, on held-out rows.

Run it with `DATASETS=FOLDER pytest -m benchmark -s tests/benchmarks/bench_distill.py`, on a machine that is idle: all fits
have a clock. FOLDER/manifest.json lists Parquet files (name, file, target, task).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from automl import AutoML
from automl.metrics import resolve_metric
from automl.scoring import score_model
from automl_core.settings import load_settings

pytestmark = pytest.mark.benchmark

FOLDER = Path(os.environ.get("DATASETS", "."))
TABLES = json.loads((FOLDER / "manifest.json").read_text())["datasets"] if (FOLDER / "manifest.json").exists() else []
ROWS, LIMIT = int(os.environ.get("ROWS", "2500")), 20.0
TEACHER, STUDENT = float(os.environ.get("TEACHER", "50")), float(os.environ.get("STUDENT", "20"))


@pytest.mark.parametrize("item", TABLES, ids=lambda item: item["name"])
def test_student_beside_direct_fits(item: dict[str, str], tmp_path: Path) -> None:
    table = pq.read_table(FOLDER / item["file"])
    table = table.take(np.random.default_rng(1).permutation(table.num_rows)[:ROWS])
    train, test = table.slice(0, len(table) * 3 // 4), table.slice(len(table) * 3 // 4)
    task, target = item["task"], item["target"]

    def small(seconds: float) -> dict[str, object]:
        settings = load_settings(directory=str(tmp_path / str(seconds)), executor="serial")
        return {
            "time_limit": seconds,
            "quality": "fast",
            "predict_time_limit": LIMIT,
            "n_jobs": 1,
            "settings": settings,
        }

    whole = load_settings(directory=str(tmp_path / "teacher"), executor="serial")
    teacher = AutoML(time_limit=TEACHER, folds=5, task=task, n_jobs=1, settings=whole).fit(train, target=target)
    made = {
        "teacher": teacher,
        "student": teacher.distill(train, **small(STUDENT)),
        "direct, as long as the student": AutoML(task=task, **small(STUDENT + 0.01)).fit(train, target=target),
        "direct, as long as both": AutoML(task=task, **small(STUDENT + TEACHER)).fit(train, target=target),
    }
    metric = resolve_metric(None, task)
    for name, engine in made.items():
        score = score_model(engine.model_, teacher.coder_, metric, test)
        print(f"\n{item['name']}, {name}: {metric.name} {score:.5f}, {engine.model_.predictor.trees} trees", end="")
