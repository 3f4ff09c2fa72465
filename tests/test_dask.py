"""Studies on a Dask cluster, and from its data frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("automl_dask", reason="automl-dask is not installed")

from automl import AutoML
from automl_core import DataError
from automl_core.settings import Settings
from automl_dask.loader import DaskDataLoader


@pytest.fixture(scope="module")
def loader() -> Iterator[DaskDataLoader]:
    with DaskDataLoader(n_workers=2, threads_per_worker=1, timeout=150) as loader:
        yield loader


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 4))
    town = rng.choice(["north", "south", "west"], 2000)
    y = np.where(x[:, 0] + x[:, 1] * x[:, 2] + (town == "west") + rng.normal(size=2000) > 0, "yes", "no")
    return pd.DataFrame({**{f"x{i}": x[:, i] for i in range(4)}, "town": town, "y": y})


def fit(data: object, executor: str, address: str, **options: object) -> AutoML:
    settings = Settings(
        executor=executor, learners=("sklearn",), search="random", storage="memory",
        plugins={"dask": {"address": address}},
    )  # fmt: skip
    return AutoML(max_trials=3, time_limit=None, n_jobs=2, folds=2, settings=settings, **options).fit(data, target="y")  # type: ignore[arg-type]


def scores(model: AutoML) -> list[tuple[object, ...]]:
    return [(row["name"], row["score"], row["weight"]) for row in model.leaderboard()]


def test_cluster_gives_the_leaderboard_of_threads(loader: DaskDataLoader, frame: pd.DataFrame) -> None:
    address = str(loader.client.scheduler.address)
    there, here = fit(frame, "dask", address), fit(frame, "threads", address)
    assert scores(there) == scores(here)
    assert all(row["error"] is None for row in there.leaderboard())
    np.testing.assert_array_equal(there.predict_proba(frame), here.predict_proba(frame))


def test_data_frame_of_the_cluster_is_fitted_and_predicted(
    loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path
) -> None:
    for number in range(4):
        frame[number * 500 : (number + 1) * 500].to_parquet(tmp_path / f"{number}.parquet", index=False)
    ddf = loader.load_parquet(f"{tmp_path}/*.parquet")
    address = str(loader.client.scheduler.address)
    model = fit(ddf[ddf["x0"] > -1], "threads", address)
    expected = fit(frame[frame["x0"] > -1], "threads", address)
    assert model.model_.info["all_rows"] == int((frame["x0"] > -1).sum())
    assert model.score(frame) == pytest.approx(expected.score(frame), abs=0.05)
    np.testing.assert_array_equal(model.predict(ddf.drop(columns="y")), model.predict(frame))
    assert model.score(ddf) == pytest.approx(model.score(frame))


def test_files_are_predicted_on_the_cluster(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    from automl.large.predict import predict_files
    from automl.table import open_table
    from automl_core import Plugins

    (tmp_path / "in").mkdir()
    for number in range(4):
        frame[number * 500 : (number + 1) * 500].to_parquet(tmp_path / f"in/{number}.parquet", index=False)
    model = fit(frame, "threads", "").model_
    plugins = Plugins(Settings(executor="dask", plugins={"dask": {"address": str(loader.client.scheduler.address)}}))
    done = predict_files(model, tmp_path / "in", tmp_path / "out", keep=["x0"], plugins=plugins)
    found = open_table(tmp_path / "out")
    assert done.rows == 2000
    assert found["x0"].to_pylist() == frame["x0"].tolist()
    assert found["y"].to_pylist() == model.predict(frame).tolist()


def test_partition_that_cannot_be_computed_is_told(loader: DaskDataLoader, frame: pd.DataFrame, tmp_path: Path) -> None:
    def fail(part: pd.DataFrame) -> pd.DataFrame:
        raise KeyError("no such thing")

    frame.to_parquet(tmp_path / "1.parquet", index=False)
    ddf = loader.load_parquet(f"{tmp_path}/1.parquet")
    with pytest.raises(DataError, match=r"partition 0 of the data frame of Dask could not be computed \(KeyError"):
        fit(ddf.map_partitions(fail, meta=ddf._meta), "threads", "")
