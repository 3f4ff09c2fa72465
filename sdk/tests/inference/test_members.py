"""Real models of every installed learner, flattened: the predictor says what their own libraries say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from automl import demo
from automl.artifact.flats import dump_flat, load_flat
from automl.encoder import Encoder
from automl.explain import explain, importance
from automl.predictor import Part, Predictor
from automl.predictor.kernel import COMPILED
from automl.schema import describe
from automl.table import open_table
from automl_core import Column, Data, Exports, Job, PluginError, Plugins
from automl_core.settings import load_settings

LEARNERS = (
    "catboost", "lightgbm", "sklearn.extra_trees", "sklearn.hist_gradient_boosting", "sklearn.linear",
    "sklearn.random_forest", "xgboost",
)  # fmt: skip
TASKS = {"binary": 2, "multiclass": 4, "regression": 0}
ROWS = 600


def make_data(task: str) -> Data:
    """Numbers with missing values and ties, a category of few codes and one of many, whose effects matter."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(ROWS, 6)).round(1)
    values[:, 4], values[:, 5] = rng.integers(0, 5, ROWS), rng.integers(0, 60, ROWS)
    score = (
        values[:, 0] * values[:, 1]
        + rng.normal(size=5)[values[:, 4].astype(int)]
        + rng.normal(size=60)[values[:, 5].astype(int)]
    )
    values[rng.random(values.shape) < 0.08] = np.nan
    columns = (*(Column(f"n{i}") for i in range(4)), Column("few", categories=5), Column("many", categories=60))
    target = (
        score
        if task == "regression"
        else np.searchsorted(np.quantile(score, np.arange(1, TASKS[task]) / TASKS[task]), score)
    )
    return Data(np.ascontiguousarray(values, dtype=np.float32), columns, target.astype(np.float64))


def hard_rows(data: Data) -> np.ndarray:
    """Rows of training, rows with every value missing, with codes that training lacked, and far outside."""
    rng = np.random.default_rng(4)
    odd = data.values[rng.integers(0, ROWS, 200)].copy()
    odd[:50, rng.integers(0, 6, 50)] = np.nan
    odd[50] = np.nan
    odd[51:60, :4] = 1e30
    odd[60:70, :4] = -1e30
    odd[70:80, :4] = 0
    return np.concatenate([data.values, odd])


@pytest.fixture(scope="module")
def fitted():
    plugins, models = Plugins(load_settings()), {}

    def fit(name: str, task: str):
        if (name, task) not in models:
            try:
                learner = plugins.build("learner", name)
            except PluginError as error:
                pytest.skip(str(error))
            data = make_data(task)
            job = Job(data, np.arange(ROWS), None, task, TASKS[task], {}, rounds=40, seed=1)
            models[name, task] = learner.fit(job), data
        return models[name, task]

    return fit


members = pytest.mark.parametrize("name", LEARNERS)
tasks = pytest.mark.parametrize("task", TASKS)


@members
@tasks
def test_flat_member_predicts_what_its_library_predicts(fitted, name, task) -> None:
    model, data = fitted(name, task)
    assert isinstance(model, Exports)
    flat = model.export()
    assert flat is not None
    values = hard_rows(data)
    predictor = Predictor([Part(flat, 1.0)], classes=TASKS[task])
    np.testing.assert_allclose(predictor.predict(values), model.predict(values), rtol=1e-6, atol=1e-6)
    alone = np.concatenate([predictor.predict(row[None]) for row in values[::7]])
    np.testing.assert_allclose(alone, predictor.predict(values)[::7], rtol=1e-12, atol=1e-14)


def real_data(name: str) -> tuple[Data, str, int]:
    """Return a table that comes with the sdk or scikit-learn, its task and how many classes it has."""
    if name == "bank_marketing":
        table = open_table(str(Path(demo.__file__).parent / "bank_marketing.csv"))
        encoder = Encoder.fit(table.drop_columns("y"), describe(table.drop_columns("y")))
        truth = np.array([answer == "yes" for answer in table["y"].to_pylist()], dtype=np.float64)
        return Data(encoder.encode(table.drop_columns("y")), encoder.columns, truth), "binary", 2
    loaded = getattr(datasets, f"load_{name}")()
    task, classes = ("regression", 0) if name == "diabetes" else ("multiclass", len(loaded.target_names))
    values = np.ascontiguousarray(loaded.data, dtype=np.float32)
    columns = tuple(Column(f"n{i}") for i in range(values.shape[1]))
    return Data(values, columns, loaded.target.astype(np.float64)), task, classes


@members
@pytest.mark.parametrize("table", ["bank_marketing", "digits", "wine", "diabetes"])
def test_flat_member_predicts_the_same_on_real_tables(name, table) -> None:
    try:
        learner = Plugins(load_settings()).build("learner", name)
    except PluginError as error:
        pytest.skip(str(error))
    data, task, classes = real_data(table)
    rows = np.arange(len(data.values))
    model = learner.fit(Job(data, rows[rows % 3 > 0], None, task, classes, {}, rounds=40, seed=1))
    said, want = (
        Predictor([Part(model.export(), 1.0)], classes=classes).predict(data.values),
        model.predict(data.values),
    )
    # Of numbers a millionth of the largest: XGBoost adds leaves up in single precision.
    np.testing.assert_allclose(said, want, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(want).max()))


@members
@tasks
def test_stored_member_predicts_the_same(fitted, name, task) -> None:
    model, data = fitted(name, task)
    values, flat = hard_rows(data), model.export()
    before, after = (Predictor([Part(f, 1.0)], classes=TASKS[task]) for f in (flat, load_flat(dump_flat(flat))))
    np.testing.assert_array_equal(after.predict(values), before.predict(values))


@members
@tasks
def test_contributions_of_a_real_member_add_up(fitted, name, task) -> None:
    model, data = fitted(name, task)
    predictor = Predictor([Part(model.export(), 1.0)], classes=TASKS[task])
    values = hard_rows(data)[-40:]
    said, want = explain(predictor, values), predictor.predict(values)
    np.testing.assert_allclose(said.sum(axis=1).reshape(want.shape), want, rtol=1e-7, atol=1e-7)


@members
def test_important_columns_are_those_that_made_the_target(fitted, name) -> None:
    model, _ = fitted(name, "regression")
    shares = importance(Predictor([Part(model.export(), 1.0)]))
    assert shares.sum() == pytest.approx(1)
    assert shares[4] > shares[2]
    assert shares[4] > shares[3]


@tasks
def test_ensemble_of_all_members_is_their_weighted_mean(fitted, task) -> None:
    models = [fitted(name, task) for name in LEARNERS]
    weights = np.arange(1.0, len(models) + 1) / np.arange(1.0, len(models) + 1).sum()
    parts = [Part(model.export(), float(w)) for (model, _), w in zip(models, weights, strict=True)]
    values = hard_rows(models[0][1])
    want = sum(w * model.predict(values) for (model, _), w in zip(models, weights, strict=True))
    predictor = Predictor(parts, classes=TASKS[task])
    np.testing.assert_allclose(predictor.predict(values), want, rtol=1e-6, atol=1e-6)
    if COMPILED:
        from automl.predictor.kernel import load_program
        from automl.predictor.program import compile_parts

        out = np.empty(predictor.predict(values[:50]).shape)
        program = compile_parts(parts, columns=6, outputs=max(TASKS[task], 1))
        load_program(program, compiled=False).predict(values[:50], out)
        np.testing.assert_allclose(out, predictor.predict(values[:50]), rtol=1e-10, atol=1e-12)
