"""Tables as they come: every fit and prediction ends in an answer or an error of ours that names the thing."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl import AutoML
from automl_core import AutoMLError, DataError, PluginError, SettingsError
from automl_core.settings import load_settings
from automl_core.testing.fakes import install

LEARNERS = ("sklearn.linear", "lightgbm")


def engine(learners=LEARNERS, **options):
    chosen = load_settings(learners=learners, storage="memory", executor="serial", search="random")
    return AutoML(settings=chosen, **{"time_limit": None, "max_trials": 2, "n_jobs": 1, "folds": 2, **options})


def good(rows: int = 60) -> dict[str, list]:
    rng = np.random.default_rng(0)
    size = rng.normal(size=rows)
    return {
        "size": size.tolist(),
        "colour": rng.choice(["red", "green", "blue"], rows).tolist(),
        "y": ["yes" if value > 0 else "no" for value in size],
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {name: [] for name in t}, "no rows"),
        (lambda t: {name: column[:1] for name, column in t.items()}, "one class"),
        (lambda t: {"y": t["y"]}, "no column|target alone"),
        (lambda t: {**t, "y": [None] * 60}, "all values of the target 'y' are missing"),
        (lambda t: {**t, "y": ["yes"] * 60}, "one class|1 class|only"),
        (lambda t: {"size": t["size"], "colour": t["colour"]}, "no column 'y'"),
        (lambda t: {"size": [None] * 60, "y": t["y"]}, "all missing|missing"),
        (lambda t: {"size": [1.0] * 60, "y": t["y"]}, "constant"),
    ],
    ids=["empty", "one row", "one column", "target missing", "one class", "no target", "all missing", "constant"],
)
def test_a_table_that_cannot_be_learned_from_says_why(change, said):
    with pytest.raises(DataError, match=said):
        engine().fit(change(good()), target="y")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {**t, "y": t["y"][:-1] + ["maybe"]},
        lambda t: {**t, "size": [*t["size"][:-3], float("inf"), float("-inf"), 1e300]},
        lambda t: {**t, "mixed": [1, "a", None, 2.5, True, "b"] * 10},
        lambda t: {**t, "id": [f"u{i}" for i in range(60)]},
        lambda t: {**t, "when": ["2024-01-01", "not a date", "9999-12-31", "0001-01-01", None, "2024-02-30"] * 10},
        lambda t: {**t, "twice": t["size"]},
        lambda t: {**t, "huge": [10**30 + i for i in range(60)]},
        lambda t: {**t, "empty": [None] * 60},
    ],
    ids=["class of one", "infinite", "mixed", "id", "dates", "duplicate", "huge", "empty column"],
)
def test_an_odd_table_is_learned_from(change):
    table = change(good())
    model = engine().fit(table, target="y")
    said = model.predict_proba({name: column[:5] for name, column in table.items() if name != "y"})
    assert said.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("odd", [False, 3, 0.5])
def test_column_of_dates_and_something_else_predicts_what_it_was_learned_from(odd):
    since = [
        odd,
        None,
        *(f"2020-01-{day:02d}" for day in range(1, 29)),
        *(f"2021-03-{day:02d}" for day in range(1, 31)),
    ]
    model = engine().fit({**good(), "since": since}, target="y")
    said = model.predict_proba({**{name: good()[name] for name in ("size", "colour")}, "since": since})
    assert np.isfinite(said).all()
    with pytest.raises(DataError, match="'since' expects a date"):
        model.predict({"size": 1.0, "colour": "red", "since": odd})


def test_prediction_names_what_is_missing_and_takes_what_is_new():
    model = engine().fit(good(), target="y")
    with pytest.raises(DataError, match="colour"):
        model.predict({"size": 1.0, "color": "red"})
    with pytest.raises(DataError, match="size"):
        model.predict({"size": "large", "colour": "red"})
    assert model.predict({"colour": "violet", "extra": 1, "size": 2.0}).tolist() == ["yes"]


def write(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def cut_parquet(folder: Path) -> str:
    with io.BytesIO() as buffer:
        pq.write_table(pa.table(good()), buffer)
        return write(folder, "cut.parquet", buffer.getvalue()[:-20])


def claim_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for home in ("one", "other"):
        install(folder / home, "mine", "mine_plugin", distribution=f"{home}-mine")
        monkeypatch.syspath_prepend(folder / home)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda f: engine().fit(write(f, "a.csv", b"x,x,y\n1,2,a\n"), target="y"), DataError, "more than once: 'x'"),
        (lambda f: engine().fit(pa.table([[1], [2]], names=["y", "y"]), target="y"), DataError, "more than once: 'y'"),
        (lambda f: engine().fit(write(f, "a.csv", b"t,y\nK\xf6ln,a\n"), target="y"), DataError, "0xf6 in column 't'.*latin-1"),
        (lambda f: engine().fit(cut_parquet(f), target="y"), DataError, r"cut\.parquet.* cannot be read as parquet"),
        (lambda f: load_settings(executer="threads"), SettingsError, "unknown setting.*'executor'"),
        (lambda f: AutoML(settings=load_settings(learners=("lightgmb",))).fit(good(), target="y"), PluginError, "'lightgbm'"),
        (lambda f: AutoML(settings=load_settings(executor="mine")).fit(good(), target="y"), PluginError, "one-mine.*other-mine"),
    ],
    ids=["duplicate in CSV", "duplicate in Arrow", "not UTF-8", "cut Parquet", "setting", "plugin", "two plugins"],
)  # fmt: skip
def test_what_cannot_be_taken_is_named_with_the_way_out(make, error, said, tmp_path, monkeypatch):
    claim_twice(tmp_path, monkeypatch)
    with pytest.raises(error, match=said):
        make(tmp_path)


def test_a_hundred_thousand_strings_are_learned_from():
    size, noise = np.random.default_rng(0).normal(size=(2, 100_000))
    table = {"size": size, "code": [f"u{i % 99_990}" for i in range(len(size))], "y": size + 0.5 * noise > 0}
    model = engine(("lightgbm",), max_trials=1, folds=1, time_limit=8.0).fit(table, target="y")
    assert model.predict({"size": [2.0, -2.0], "code": ["never", "u7"]}).tolist() == [True, False]


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=8), st.dates().map(str), st.sampled_from(["a", "b", "c", "1", "NA", ""]),
)  # fmt: skip


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 25))
    kinds = draw(st.lists(st.sampled_from(["any", "number", "level"]), min_size=1, max_size=4))
    source = {
        "any": VALUES,
        "number": st.floats(-1e6, 1e6) | st.none(),
        "level": st.sampled_from(["x", "y", "z", None]),
    }
    columns = {f"c{i}": draw(st.lists(source[kind], min_size=rows, max_size=rows)) for i, kind in enumerate(kinds)}
    target = draw(st.sampled_from(["number", "level", "any"]))
    return {**columns, "t": draw(st.lists(source[target], min_size=rows, max_size=rows))}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables())
@pytest.mark.filterwarnings("ignore")
def test_no_table_breaks_the_engine(table):
    try:
        model = engine(max_trials=1).fit(table, target="t")
    except AutoMLError:
        return
    rows = {name: column for name, column in table.items() if name != "t"}
    try:
        assert len(model.predict(rows)) == len(table["t"])
    except AutoMLError:
        assert model.study_.rows < len(table["t"])  # what only rows without a target hold was not learned from
