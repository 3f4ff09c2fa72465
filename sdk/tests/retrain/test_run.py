"""Whole runs, with real fits and the registry in a folder: promoted, rejected, rolled back, refused, failed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("automl_sklearn")

from automl import AutoML
from automl.retrain.champion import find_champion
from automl.retrain.recent import Recent
from automl.retrain.rows import split_rows
from automl.retrain.run import Retraining
from automl.retrain.settings import RetrainSettings
from automl.service.ledger import Ledger, Prediction
from automl.table import open_table
from automl_core import AutoMLError, DataError, Plugins, Settings, SettingsError

NAME = "loans"


def make(count: int, seed: int, *, turned: bool = False) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    x, noise = random.normal(size=count), random.normal(size=count)
    right = np.where((x + 0.3 * noise > 0) ^ turned, "yes", "no")
    return {"x": x.tolist(), "colour": random.choice(["red", "blue"], count).tolist(), "paid": right.tolist()}


def engine(directory: Path) -> Settings:
    return Settings(
        learners=("sklearn",), executor="serial", search="random", trackers=("journal",), directory=str(directory)
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """Return a model of the world as it was, and one of the world turned around."""
    folder = tmp_path_factory.mktemp("fits")
    fit = lambda turned: AutoML(time_limit=20, max_trials=1, n_jobs=1, settings=engine(folder)).fit(  # noqa: E731
        make(600, 0, turned=turned), target="paid"
    )
    return {turned: fit(turned).model_ for turned in (False, True)}


class World:
    """A registry with a champion, and a ledger of traffic."""

    def __init__(self, folder: Path, models: dict[bool, Any]) -> None:
        self.folder, self.models = folder, models
        self.plugins = Plugins(engine(folder))
        self.registry = self.plugins.build("tracker", "journal")
        self.storage = self.plugins.build("storage", "file")
        self.register(models[False])

    def register(self, model: Any) -> str:
        path = self.folder / "new.automl"
        model.save(path)
        version: str = self.registry.register(NAME, path)
        self.registry.alias(NAME, "champion", version)
        return version

    def traffic(self, count: int, *, turned: bool, seed: int = 5, labelled: bool = True) -> None:
        rows = make(count, seed, turned=turned)
        truths = rows.pop("paid")
        ledger = Ledger(self.folder / "rows.sqlite")
        said = [
            Prediction(f"{seed}-{i}", NAME, "1", time.time(), {k: [v[i]] for k, v in rows.items()}, ["no"])
            for i in range(count)
        ]
        ledger.record(said)
        if labelled:
            ledger.label([(f"{seed}-{i}", [truth]) for i, truth in enumerate(truths)])
        ledger.close()

    def retraining(self, **settings: Any) -> Retraining:
        given = {
            "name": NAME,
            "ledger": str(self.folder / "rows.sqlite"),
            "time_limit": 4.0,
            "minimum": 100,
            **settings,
        }
        return Retraining(
            self.registry, self.storage, RetrainSettings(**given), engine=self.plugins.settings, threads=1
        )

    @property
    def champion(self) -> str:
        return find_champion(self.registry, NAME, "champion")[0]


@pytest.fixture
def world(tmp_path: Path, models: dict[bool, Any]) -> World:
    return World(tmp_path, models)


def test_challenger_that_is_better_is_promoted_and_a_second_run_must_wait(world: World) -> None:
    world.traffic(600, turned=True)
    entry = world.retraining().run("degradation")
    told = entry.attributes
    assert (told["stage"], told["previous"], told["version"], world.champion) == ("promoted", "1", "2", "2")
    found = told["challengers"]["recent"]
    assert found["challenger"] > 0.8 > 0.2 > found["champion"]
    assert world.retraining().run().attributes["reason"].startswith("cooldown")
    stages = [e.attributes["stage"] for e in world.retraining().history.entries()]
    assert stages == ["started", "promoted", "refused"]


def test_challenger_that_is_no_better_is_refused(world: World) -> None:
    world.traffic(600, turned=False)
    told = world.retraining().run("drift").attributes
    assert told["stage"] == "rejected"
    assert told["challengers"]["recent"]["reason"].startswith("no better")
    assert world.champion == "1"


def test_earlier_rows_are_learned_from_and_judged_on(world: World) -> None:
    earlier = world.folder / "train.parquet"
    pq.write_table(pa.table(make(600, 0)), earlier)
    world.traffic(600, turned=True)
    told = world.retraining(data=str(earlier), time_limit=8.0).run().attributes
    assert told["stage"] == "promoted"
    assert set(told["challengers"]) == {"recent", "recent and earlier"}
    assert told["learned"] == "recent"
    assert told["challengers"]["recent"]["earlier"]["challenger"] < 0.5


def test_challenger_that_forgets_is_refused(world: World) -> None:
    earlier = world.folder / "train.parquet"
    pq.write_table(pa.table(make(200, 0)), earlier)  # few beside the recent ones, which contradict them
    world.traffic(600, turned=True)
    told = world.retraining(data=str(earlier), forget=0.1, time_limit=8.0).run().attributes
    assert told["stage"] == "rejected"
    assert told["challengers"]["recent"]["reason"].startswith("forgets")
    assert world.champion == "1"


def test_champion_that_does_worse_than_the_one_before_is_rolled_back(world: World) -> None:
    new = world.register(world.models[True])
    world.retraining().history.write("promoted", "r", version=new, previous="1", seconds=1.0)
    world.traffic(200, turned=False)
    told = world.retraining().run("degradation").attributes
    assert (told["stage"], told["to"], world.champion) == ("rolled_back", "1", "1")
    assert told["comparison"]["p"] < 0.05


def test_champion_that_does_well_stays_after_its_promotion(world: World) -> None:
    new = world.register(world.models[True])
    world.retraining().history.write("promoted", "r", version=new, previous="1", seconds=1.0)
    world.traffic(200, turned=True)
    assert world.retraining().run().attributes["stage"] == "refused"
    assert world.champion == new


def test_roll_back_by_hand_moves_the_alias_at_once(world: World) -> None:
    with pytest.raises(DataError, match="nothing to roll back"):
        world.retraining().rollback("by hand")
    new = world.register(world.models[True])
    world.retraining().history.write("promoted", "r", version=new, previous="1")
    assert world.retraining().rollback("by hand").attributes["to"] == "1"
    assert world.champion == "1"


# ---- a challenger that is tried first


def test_challenger_is_tried_before_it_is_promoted(world: World) -> None:
    world.traffic(600, turned=True)
    proposed = world.retraining(canary=1e6).run().attributes
    assert (proposed["stage"], proposed["version"], world.champion) == ("proposed", "2", "1")
    assert world.registry.aliases(NAME)["challenger"] == "2"
    assert world.retraining(canary=1e6).run().attributes["reason"] == "canary: version 2 is being tried"
    assert world.retraining().run().attributes["reason"].startswith("canary: too few labels")
    world.traffic(60, turned=True, seed=6)
    promoted = world.retraining().run().attributes
    assert (promoted["stage"], promoted["run"], promoted["previous"]) == ("promoted", proposed["run"], "1")
    assert world.champion == "2"


def test_challenger_that_does_worse_while_it_is_tried_is_rejected(world: World) -> None:
    world.register(world.models[True])
    world.registry.alias(NAME, "champion", "1")
    world.retraining().history.write("proposed", "r", version="2", seconds=1.0)
    world.traffic(60, turned=False)
    told = world.retraining(canary=1e6).run(force=True).attributes
    assert (told["stage"], world.champion) == ("rejected", "1")
    assert world.retraining().history.proposal() is None


def test_challenger_cannot_be_tried_on_rows_without_time(world: World) -> None:
    with pytest.raises(SettingsError, match="time_column"):
        world.retraining(ledger="", recent="rows.csv", canary=60.0).run()


def test_too_few_labels_start_nothing_but_by_force(world: World) -> None:
    world.traffic(90, turned=True)
    world.traffic(500, turned=True, seed=6, labelled=False)
    assert world.retraining().run().attributes["reason"].startswith("labels: 90 rows")
    assert world.retraining().run(force=True).attributes["stage"] in ("promoted", "rejected")


def test_run_of_another_process_is_left_alone(world: World) -> None:
    world.traffic(200, turned=True)
    world.retraining().history.begin("other", lease=1000.0)
    assert world.retraining().run().attributes["reason"].startswith("single flight")


def test_run_that_fails_is_journalled(world: World) -> None:
    world.traffic(200, turned=True)
    pq.write_table(pa.table({"x": [1.0]}), world.folder / "other.parquet")
    with pytest.raises(DataError, match="no column"):
        world.retraining(data=str(world.folder / "other.parquet")).run()
    last = world.retraining().history.entries()[-1].attributes
    assert (last["stage"], "no column" in last["reason"]) == ("failed", True)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"name": ""}, SettingsError),
        ({"ledger": ""}, SettingsError),
        ({"recent": "both.csv"}, SettingsError),
        ({"ledger": "none"}, DataError),
    ],
)
def test_what_is_missing_is_said(world: World, settings: dict[str, str], error: type[AutoMLError]) -> None:
    with pytest.raises(error):
        world.retraining(**settings).run()


def test_what_fails_before_a_run_is_journalled_and_costs_no_cooldown_and_no_label(world: World) -> None:
    world.traffic(200, turned=False)
    with pytest.raises(DataError, match="none"):
        world.retraining(ledger="none").run("cron")
    told = world.retraining().history.entries()[-1].attributes
    assert (told["stage"], told["because"], "no ledger" in told["reason"]) == ("failed", "cron", True)
    assert world.retraining().run().attributes["stage"] == "rejected"


# ---- rows that something else wrote


def table(world: World, count: int, *, turned: bool, times: Any) -> str:
    """Write rows with their truth, out of order, one without it, and a column that no model knows."""
    rows = make(count, 5, turned=turned)
    rows["paid"][0] = None
    order = np.random.default_rng(0).permutation(count)
    written = pa.table({**rows, "when": times, "clerk": ["Ada"] * count}).take(order)
    pq.write_table(written, world.folder / "recent.parquet")
    return str(world.folder / "recent.parquet")


@pytest.mark.parametrize("kind", ["seconds", "timestamp", "text"])
def test_table_of_recent_rows_does_as_well_as_a_ledger(world: World, kind: str) -> None:
    ago = np.arange(600)[::-1]
    times = pa.array(time.time() - 1 - ago)
    if kind != "seconds":
        times = pa.array((times.to_numpy() * 1e6).astype("datetime64[us]"))
    times = times.cast(pa.string()) if kind == "text" else times
    place = table(world, 600, turned=True, times=times)
    settings = RetrainSettings(name=NAME, recent=place, time_column="when")
    found = Recent(settings).read(world.models[False], since=time.time() - 100.5)
    assert found is not None
    assert found.column_names == ["x", "colour", "paid"]
    assert 95 <= found.num_rows <= 100
    assert found["x"].to_pylist()[-1] == make(600, 5)["x"][-1]
    if kind == "seconds":
        told = world.retraining(ledger="", recent=place, time_column="when").run().attributes
        assert (told["stage"], world.champion) == ("promoted", "2")


def test_table_without_times_counts_as_a_whole(world: World) -> None:
    place = table(world, 300, turned=True, times=[0.0] * 300)
    told = world.retraining(ledger="", recent=place, minimum=300).run().attributes
    assert told["reason"].startswith("labels: 299 rows")


@pytest.mark.parametrize("column", ["clerk", "gone"])
def test_column_that_is_no_time_is_named(world: World, column: str) -> None:
    place = table(world, 50, turned=True, times=[0.0] * 50)
    with pytest.raises(DataError, match=column):
        Recent(RetrainSettings(name=NAME, recent=place, time_column=column)).read(world.models[False])


def test_model_without_a_champion_is_named(world: World) -> None:
    with pytest.raises(DataError, match="other"):
        find_champion(world.registry, "other", "champion")


def test_latest_rows_are_held_out_and_types_follow_earlier_rows(tmp_path: Path) -> None:
    earlier = {"n": pa.array(range(50), pa.int32()), "day": pa.array(["2026-01-01"] * 50).cast(pa.timestamp("us"))}
    pq.write_table(pa.table({**earlier, "y": [1.0] * 50, "more": [0] * 50}), tmp_path / "old.parquet")
    days = ["2026-02-02", None, "2026-02-03T10:00:00", "no"]
    rows = open_table({"n": [1, "2", "x", 4], "day": days, "y": [1, 2, 3, 4]})
    found = split_rows(rows, str(tmp_path / "old.parquet"), target="y", holdout=0.25)
    assert found.truths == [4]
    assert found.holdout.num_rows == 1
    assert found.recent.num_rows == 3
    assert found.both is not None
    assert found.both.num_rows == 43
    assert found.both["n"].to_pylist()[-3:] == [1, 2, None]
    assert found.both["day"].type == pa.timestamp("us")
    assert found.old is not None
    assert found.old.num_rows == 10
