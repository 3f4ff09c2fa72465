from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from automl import AutoML
from automl.cli.app import cli
from automl.large.batches import open_batches
from automl.large.fates import HELD_OUT, SIDES, WATCHED, row_hash, side
from automl.large.judge import score_held_out
from automl.large.memory import memory_limit
from automl.large.survey import Reservoir, take_survey
from automl.metrics import resolve_metric
from automl.study.clock import Clock
from automl_core import DataError, SettingsError
from automl_core.settings import Settings


def make(rows: int, *, seed: int = 0, columns: int = 6) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns))
    town = rng.integers(0, 30, rows)
    score = x[:, 0] + np.sin(3 * x[:, 1]) * 2 + x[:, 2] * x[:, 3] + (town % 7 - 3) + rng.normal(size=rows)
    return pa.table({
        **{f"x{i}": x[:, i] for i in range(columns)},
        "town": np.char.add("town", town.astype(str)),
        "y": np.where(score > 0, "yes", "no"),
    })  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(4):
        parquet.write_table(make(5000, seed=number), tmp_path / f"{number}.parquet", row_group_size=1700)
    return tmp_path


def whole(folder: Path) -> pa.Table:
    return pa.concat_tables([parquet.read_table(path) for path in sorted(folder.glob("*.parquet"))])


def quick(**options: object) -> AutoML:
    settings = Settings(learners=("lightgbm",), search="random", storage="memory", executor="serial")
    return AutoML(max_trials=1, time_limit=None, n_jobs=1, folds=1, settings=settings, **options)  # type: ignore[arg-type]


# ---- which data is large


def test_small_files_are_opened_as_a_whole(folder: Path) -> None:
    assert open_batches(str(folder)) is None
    assert open_batches(str(folder), limit=1 << 20) is not None


@pytest.mark.parametrize("data", [{"a": [1]}, [{"a": 1}], np.zeros((2, 2)), pa.table({"a": [1]})])
def test_what_is_in_memory_is_never_large(data: object) -> None:
    assert open_batches(data, limit=1) is None


def test_other_formats_are_opened_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n')
    assert open_batches(tmp_path / "a.jsonl", limit=1) is None


def test_batches_are_all_rows_in_order_each_time(folder: Path) -> None:
    batches = open_batches(f"{folder}/*.parquet", limit=1 << 20)
    assert batches is not None
    for _ in range(2):
        tables = list(batches)
        assert len(tables) > 4
        assert pa.concat_tables(tables).equals(whole(folder))


def test_damaged_file_is_named(folder: Path) -> None:
    path = folder / "2.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"2\.parquet' cannot be read as parquet"):
        open_batches(str(folder), limit=1 << 20)


def test_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda kind: (10 << 20, 10 << 20))
    assert memory_limit() == 5 << 20


# ---- the survey


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_sample_does_not_depend_on_the_batches(size: int) -> None:
    table, numbers = pa.table({"n": np.arange(1000)}), np.arange(1000)
    hashes = row_hash(0, 1000, 3)
    reservoir = Reservoir(50)
    for start in range(0, 1000, size):
        place = slice(start, start + size)
        reservoir.add(table[place], hashes[place], numbers[place])
    drawn, where = reservoir.table()
    expected = np.sort(np.argsort(hashes)[:50])
    assert drawn["n"].to_pylist() == expected.tolist() == where.tolist()


@pytest.mark.parametrize("which", [WATCHED, HELD_OUT])
def test_sides_are_uniform(which: int) -> None:
    chosen = side(row_hash(0, 200_000, 0), which)
    assert abs(chosen.mean() - 1 / SIDES) < 0.005
    by_part = np.add.reduceat(chosen, np.arange(0, 200_000, 20_000)) / 20_000
    assert np.abs(by_part - 1 / SIDES).max() < 0.01


def test_one_pass_counts_all_rows(folder: Path) -> None:
    batches = open_batches(str(folder), limit=1 << 20)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0)
    table = whole(folder)
    assert survey.rows == 20_000
    assert survey.labels == Counter(table["y"].to_pylist())
    assert survey.levels["town"] == Counter(table["town"].to_pylist())
    assert survey.sample.num_rows < 4000
    assert not survey.complete


def tuples(table: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("most", [0, 300, 100_000])
def test_every_row_has_one_fate(folder: Path, most: int) -> None:
    batches = open_batches(str(folder), limit=1 << 20)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0, held_out=most)
    held_out = [row for part in survey.held_out_rows() for row in tuples(part)]
    learned = [row for part in survey.learnable_rows(2**64 - 1) for row in tuples(part)]
    assert len(held_out) == survey.held_out == min(most, side(row_hash(0, 20_000, 0), HELD_OUT).sum())
    assert len(learned) == survey.learnable
    assert set(tuples(survey.sample)) <= set(learned)
    assert Counter(held_out + learned + tuples(survey.watched)) == Counter(tuples(whole(folder)))


def test_small_table_is_the_sample_but_for_the_rows_held_out(folder: Path) -> None:
    batches = open_batches(folder / "0.parquet", limit=1 << 30, always=True)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0, held_out=100_000)
    held_out = {row for part in survey.held_out_rows() for row in tuples(part)}
    assert survey.complete
    assert len(held_out) == side(row_hash(0, 5000, 0), HELD_OUT).sum()
    assert tuples(survey.sample) == [
        row for row in tuples(parquet.read_table(folder / "0.parquet")) if row not in held_out
    ]


def test_rare_label_is_in_the_sample(tmp_path: Path) -> None:
    labels = np.where(np.arange(60_000) == 31_234, "rare", np.where(np.arange(60_000) % 2, "a", "b"))
    parquet.write_table(pa.table({"x": np.arange(60_000.0), "y": labels}), tmp_path / "1.parquet")
    of_a_side = []
    for seed in range(40):
        hashed = row_hash(31_234, 1, seed)
        of_a_side += [seed] if side(hashed, HELD_OUT)[0] or side(hashed, WATCHED)[0] else []
    for seed in [0, *of_a_side[:2]]:
        batches = open_batches(str(tmp_path), limit=1 << 18)
        assert batches is not None
        survey = take_survey(batches, "y", seed=seed, held_out=100_000)
        assert "rare" in survey.sample["y"].to_pylist()
        assert "rare" not in survey.watched["y"].to_pylist()
        held_out = list(survey.held_out_rows())
        assert not any("rare" in part["y"].to_pylist() for part in held_out)
        assert sum(part.num_rows for part in held_out) == survey.held_out
        assert sum(part.num_rows for part in survey.learnable_rows(2**64 - 1)) == survey.learnable


def test_held_out_rows_must_be_a_number_of_rows(folder: Path) -> None:
    with pytest.raises(SettingsError, match="held_out_rows is -1"):
        quick(held_out_rows=-1).fit(folder, target="y")


@pytest.mark.parametrize(("target", "message"), [(None, "name the column"), ("towm", "Did you mean 'town'")])
def test_target_that_is_not_there_is_told(folder: Path, target: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        quick(memory_limit=1 << 20).fit(folder, target=target)


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    table = make(5000)
    labels = pa.array([None if i % 3 == 0 else y for i, y in enumerate(table["y"].to_pylist())])
    parquet.write_table(table.set_column(7, "y", labels), tmp_path / "1.parquet")
    batches = open_batches(tmp_path / "1.parquet", limit=1 << 17)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0)
    assert survey.sample["y"].null_count == 0
    assert survey.known == 5000 - labels.null_count
    assert survey.learnable + survey.watched.num_rows == survey.known


# ---- the whole


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[AutoML, Path]:
    folder = tmp_path_factory.mktemp("parts")
    for number in range(4):
        parquet.write_table(make(5000, seed=number), folder / f"{number}.parquet", row_group_size=1700)
    return quick(memory_limit=1 << 20).fit(f"{folder}/*.parquet", target="y"), folder


def test_leaderboard_tells_which_rows_each_model_saw(fitted: tuple[AutoML, Path]) -> None:
    model, _ = fitted
    info = model.model_.info
    rows = {row["name"]: row["rows"] for row in model.leaderboard()}
    assert info["all_rows"] == 20_000
    assert rows["lightgbm#0"] == info["sample_rows"] < 4000
    assert rows["lightgbm#0 on all rows"] > 2 * info["sample_rows"]
    assert sum(row["weight"] for row in model.leaderboard() if row["name"] != "ensemble") == pytest.approx(1, abs=1e-3)


def test_held_out_rows_tell_the_score(fitted: tuple[AutoML, Path]) -> None:
    model, _ = fitted
    info, ensemble = model.model_.info, model.leaderboard()[0]
    assert info["held_out_rows"] == info["fates"]["held_out"] == side(row_hash(0, 20_000, 0), HELD_OUT).sum()
    assert info["scores"]["held_out"] == pytest.approx(model.score(make(5000, seed=99)), abs=0.03)
    assert (ensemble["held_out"], ensemble["held_out_rows"]) == (info["scores"]["held_out"], info["held_out_rows"])
    assert "held_out" in str(model.leaderboard()).splitlines()[0]


def test_fates_add_up_to_all_rows(fitted: tuple[AutoML, Path]) -> None:
    info = fitted[0].model_.info
    fates = dict(info["fates"])
    assert fates.pop("searched") == info["sample_rows"] < fates["learned"] == info["learned_rows"]
    assert sum(fates.values()) == info["all_rows"] == 20_000


def test_report_tells_the_fates_and_the_held_out_score(fitted: tuple[AutoML, Path], tmp_path: Path) -> None:
    model, _ = fitted
    info = model.model_.info
    model.report(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert f"{info['fates']['learned']:,} were learned from" in page
    assert f"on {info['held_out_rows']:,} rows that no model saw" in page
    assert f"{info['scores']['held_out']:.5g}" in model._repr_html_()


def test_command_tells_the_held_out_score(
    fitted: tuple[AutoML, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = fitted
    monkeypatch.setattr("automl.cli.fit.search_for_model", lambda *a, **k: model)
    arguments = ["fit", str(folder), "--target", "y", "--out", str(tmp_path / "m.automl")]
    info, done = model.model_.info, CliRunner().invoke(cli, arguments)
    told = f"roc_auc on {info['held_out_rows']:,} rows that no model saw: {info['scores']['held_out']:.5f}"
    assert told in done.output
    assert json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)["fates"] == info["fates"]


def test_nothing_is_held_out_where_none_is_wanted(folder: Path) -> None:
    info = quick(memory_limit=1 << 20, held_out_rows=0).fit(folder, target="y").model_.info
    assert info["fates"]["held_out"] == 0
    assert "held_out" not in info["scores"]


def test_group_is_on_no_two_sides(folder: Path) -> None:
    info = quick(memory_limit=1 << 20).fit(folder, target="y", groups="town").model_.info
    assert (info["fates"]["held_out"], info["fates"]["learned"]) == (0, info["sample_rows"])


def test_time_that_runs_out_while_scoring_is_told(fitted: tuple[AutoML, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, folder = fitted
    batches = open_batches(str(folder), limit=1 << 20)
    assert batches is not None
    survey = take_survey(batches, "y", seed=0, held_out=1000)
    model, late = pickle.loads(pickle.dumps(engine.model_)), Clock(1.0, 0.0)
    score_held_out(model, survey, engine.coder_, metric=resolve_metric(None, "binary"), clock=late, threads=1)
    assert model.info["held_out_rows"] == 0
    assert "time ran out after 0 of the" in model.info["warnings"][-1]


def test_all_rows_beat_the_sample(fitted: tuple[AutoML, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model, folder = fitted
    monkeypatch.setattr("automl.large.refit.MEMBERS", 0)
    sampled = quick(memory_limit=1 << 20).fit(folder, target="y")
    fresh = make(10_000, seed=77)
    assert model.score(fresh) > sampled.score(fresh)


def test_large_files_are_predicted_and_scored_in_batches(
    fitted: tuple[AutoML, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = fitted
    expected, proba, score = (
        model.predict(whole(folder)),
        model.predict_proba(whole(folder)),
        model.score(whole(folder)),
    )
    monkeypatch.setattr("automl.large.batches.memory_limit", lambda: 1 << 20)
    monkeypatch.setattr("automl.files.read_files", lambda *a, **k: pytest.fail("the files were read as a whole"))
    np.testing.assert_array_equal(model.predict(str(folder)), expected)
    np.testing.assert_array_equal(model.predict_proba(str(folder)), proba)
    assert model.score(str(folder)) == pytest.approx(score)


def test_model_of_all_rows_goes_into_a_file(fitted: tuple[AutoML, Path], tmp_path: Path) -> None:
    from automl import load_model

    model, _ = fitted
    model.save(tmp_path / "m.automl")
    fresh = make(100, seed=5)
    np.testing.assert_allclose(load_model(tmp_path / "m.automl").predict_proba(fresh), model.predict_proba(fresh))


def test_weights_must_be_a_column(folder: Path) -> None:
    with pytest.raises(DataError, match="sample_weight: of a table that is read in batches"):
        quick(memory_limit=1 << 20).fit(folder, target="y", sample_weight=np.ones(20_000))


def test_limit_must_be_positive(folder: Path) -> None:
    with pytest.raises(SettingsError, match="memory_limit is 0"):
        quick(memory_limit=0).fit(folder, target="y")


def test_regression_learns_from_all_rows(tmp_path: Path) -> None:
    table = make(12_000)
    target = np.array(table["x0"]) * 1000 + np.sin(3 * np.array(table["x1"])) * 500 + 1e6
    parquet.write_table(table.drop_columns(["y"]).append_column("y", pa.array(target)), tmp_path / "1.parquet")
    model = quick(memory_limit=1 << 19).fit(tmp_path, target="y")
    assert model.model_.task == "regression"
    assert next(row["rows"] for row in model.leaderboard() if "all rows" in row["name"]) > 5000
    assert 0.9e6 < model.predict(table.slice(0, 10)).mean() < 1.1e6
