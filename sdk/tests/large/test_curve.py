from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from automl import AutoML
from automl.large.batches import open_batches
from automl.large.curve import FIRST, choose_sample
from automl.large.survey import Survey, take_survey
from automl.metrics import resolve_metric
from automl.prepare import Prepared, prepare
from automl.study.clock import Clock
from automl_core import Plugins
from automl_core.settings import Settings

ROWS = 60_000
LIMIT = 6 << 20
GIVEN: dict[str, Any] = {"sample_weight": None, "groups": None, "time": None}


@pytest.fixture(scope="module", params=["easy", "hard"])
def survey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return look(write(tmp_path_factory.mktemp(request.param), hard=request.param == "hard"))


def write(folder: Path, *, hard: bool) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 8))
    noise = rng.random(ROWS) < 0.3
    y = np.sin(4 * x[:, :3]).sum(axis=1) > 0 if hard else (x[:, 0] > 0) ^ noise
    table = pa.table({**{f"x{i}": x[:, i] for i in range(8)}, "y": np.where(y, "yes", "no")})
    parquet.write_table(table, folder / "1.parquet", row_group_size=10_000)
    return folder


def look(folder: Path) -> Survey:
    batches = open_batches(folder, limit=LIMIT)
    assert batches is not None
    return take_survey(batches, "y", seed=0, held_out=1000)


def choose(survey: Survey, clock: Clock, *learners: str) -> tuple[Prepared, Prepared]:
    prepared = prepare(survey.sample, None, target="y", task=None, given=GIVEN, seed=0)
    plugins = Plugins(Settings(learners=learners), threads=1)
    metric = resolve_metric(None, "binary")
    built = plugins.build_all("learner", learners)
    return prepared, choose_sample(prepared, survey, built, metric=metric, clock=clock, seed=0, threads=1)


def test_search_takes_no_more_rows_than_help(survey: Survey, request: pytest.FixtureRequest) -> None:
    whole, chosen = choose(survey, Clock(None, time.monotonic()), "lightgbm")
    points = chosen.curve["points"]
    assert points[0]["rows"] == FIRST
    assert points[-1]["rows"] == len(chosen.data.target) == chosen.table.num_rows
    assert all(point["gain"] > point["noise"] for point in points[1:-1])
    if "easy" in request.node.name:
        assert chosen.curve["ended"] == "noise"
        assert len(chosen.data.target) < len(whole.data.target)
    else:
        assert chosen.curve["ended"] == "memory"
        assert len(chosen.data.target) == len(whole.data.target)
        assert points[-1]["loss"] < 0.9 * points[0]["loss"]


def test_time_ends_the_curve_and_leaves_out_no_rows(survey: Survey) -> None:
    whole, chosen = choose(survey, Clock(0.5, time.monotonic()), "lightgbm")
    assert chosen.curve.get("ended", "time") == "time"
    assert chosen.data is whole.data


def test_sample_stays_whole_where_no_learner_fits_on_all_rows(survey: Survey) -> None:
    whole, chosen = choose(survey, Clock(None, time.monotonic()), "sklearn.linear")
    assert chosen is whole


def test_curve_is_on_record(tmp_path: Path) -> None:
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    engine = AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings, memory_limit=LIMIT)
    engine.fit(write(tmp_path, hard=False), target="y")
    info = engine.model_.info
    curve = info["sample_curve"]
    assert engine.study_.settings["sample_curve"] == curve
    assert info["fates"]["searched"] == curve["points"][-1]["rows"]
    assert info["fates"]["learned"] in (info["sample_rows"], engine.leaderboard()[-1]["rows"])
    engine.report(tmp_path / "r.html")
    assert "more would gain no more than noise" in (tmp_path / "r.html").read_text()
