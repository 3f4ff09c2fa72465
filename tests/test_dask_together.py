"""One model fitted by the workers of a Dask cluster together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

pytest.importorskip("automl_dask", reason="automl-dask is not installed")
pytest.importorskip("automl_lightgbm", reason="automl-lightgbm is not installed")
pytest.importorskip("automl_xgboost", reason="automl-xgboost is not installed")

from automl import AutoML, load_model
from automl_core.settings import Settings
from automl_dask.loader import DaskDataLoader

ROWS = 5000
LEARNERS = ("lightgbm", "xgboost")


def make(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    town = rng.integers(0, 30, rows)
    y = (x[:, 0] + (town % 7 - 3) > 0) ^ (rng.random(rows) < 0.2)  # so noisy that fits end soon
    return pa.table({
        **{f"x{i}": x[:, i] for i in range(6)}, "town": np.char.add("town", town.astype(str)),
        "y": np.where(y, "yes", "no"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def loader() -> Iterator[DaskDataLoader]:
    with DaskDataLoader(n_workers=2, threads_per_worker=1, timeout=150) as loader:
        yield loader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    for number in range(3):
        parquet.write_table(make(ROWS, number), tmp_path / f"parts/{number}.parquet", row_group_size=1500)
    return tmp_path / "parts"


def fit(data: Any, executor: str, loader: DaskDataLoader, learner: str) -> AutoML:
    settings = Settings(
        executor=executor, learners=(learner,), search="random", storage="memory",
        plugins={"dask": {"address": str(loader.client.scheduler.address)}},
    )  # fmt: skip
    options: dict[str, Any] = {"max_trials": 1, "time_limit": None, "n_jobs": 1, "folds": 1}
    return AutoML(**options, settings=settings, memory_limit=1 << 20).fit(data, target="y")


def refit(model: AutoML) -> dict[str, Any]:
    return next(row for row in model.leaderboard() if row["name"].endswith("on all rows"))


@pytest.mark.parametrize("learner", LEARNERS)
def test_workers_fit_together_what_one_process_fits_alone(
    learner: str, loader: DaskDataLoader, folder: Path, tmp_path: Path
) -> None:
    together, alone = fit(folder, "dask", loader, learner), fit(folder, "threads", loader, learner)
    assert refit(together)["state"] == "refitted by 2 workers"
    assert refit(together)["rows"] == together.model_.info["fates"]["learned"] > 0.85 * 3 * ROWS
    assert refit(together)["weight"] > 0
    assert refit(alone)["state"] == "refitted"
    fresh = make(10_000, 77)
    assert together.score(fresh) == pytest.approx(alone.score(fresh), abs=0.01)
    together.save(tmp_path / "m.automl")
    loaded = load_model(tmp_path / "m.automl")
    np.testing.assert_allclose(loaded.predict_proba(fresh), together.predict_proba(fresh))


@pytest.mark.parametrize("learner", LEARNERS)
def test_partitions_of_a_data_frame_are_fitted_together(learner: str, loader: DaskDataLoader, folder: Path) -> None:
    ddf = loader.load_parquet(f"{folder}/*.parquet")
    model = fit(ddf[ddf["x0"] > -1], "dask", loader, learner)
    assert refit(model)["state"] == "refitted by 2 workers"
    assert refit(model)["rows"] == model.model_.info["fates"]["learned"]


# The last test: it costs the cluster a worker, until its nanny has started another.
@pytest.mark.parametrize("learner", LEARNERS)
def test_worker_that_dies_leaves_the_fit_to_one_process(learner: str, loader: DaskDataLoader, folder: Path) -> None:
    loader.client.wait_for_workers(2, timeout=60)
    pids = dict(loader.client.run(os.getpid))
    killed: list[str] = []

    def kill() -> None:
        while not killed:
            for address, keys in loader.client.processing().items():
                if any(str(key).startswith("automl-gang") for key in keys):
                    time.sleep(0.2)
                    os.kill(pids[address], signal.SIGKILL)
                    killed.append(address)
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    model = fit(folder, "dask", loader, learner)
    thread.join(10)
    assert killed
    assert refit(model)["state"] == "refitted"
    assert f"the Dask worker at {killed[0]} was lost" in model.model_.info["warnings"][-1]
    assert model.score(make(5000, 77)) > 0.75
