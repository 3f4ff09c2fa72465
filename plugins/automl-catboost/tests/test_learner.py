from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_catboost.constant import ConstantModel
from automl_catboost.learner import CatBoostLearner
from automl_catboost.model import CatBoostModel
from automl_catboost.watch import Watch
from automl_core import Column
from automl_core.testing.flat import evaluate
from automl_core.testing.tables import Table, make_table

TASKS = ("binary", "multiclass", "regression")


def watch(curve: list[float], *, seconds: float | None = None, rounds: int | None = None, rows: int = 100) -> int:
    """Return after how many of the losses a watch stops the fit."""
    table = make_table("binary", rows=rows)
    job = table.job(train=np.arange(rows), seconds=seconds, rounds=rounds)
    seen = Watch(time.monotonic(), job)
    for number in range(1, len(curve) + 1):
        info = SimpleNamespace(metrics={"learn": {}, "validation": {"Logloss": curve[:number]}})
        if not seen.after_iteration(info):
            return number
    return len(curve)


def test_fit_goes_on_while_the_loss_improves() -> None:
    assert watch([1 / (1 + number) for number in range(500)]) == 500


@pytest.mark.parametrize(("best", "patience"), [(1, 30), (100, 50), (300, 110)])
def test_patience_grows_with_the_best_round(best: int, patience: int) -> None:
    curve = [1 - number / 1000 for number in range(best)] + [1.0] * 1000
    assert watch(curve) == best + patience + 1


def test_many_rows_shorten_patience() -> None:
    curve = [1 - number / 10_000 for number in range(1000)] + [1.0] * 1000
    assert watch(curve, rows=100_000) == 1000 + 30 + 1


def test_fixed_rounds_are_not_stopped() -> None:
    assert watch([0.0] + [1.0] * 300, rounds=301) == 301


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("policy", ["SymmetricTree", "Depthwise", "Lossguide"])
def test_fit_ends_in_time(task: str, policy: str) -> None:
    table = make_table(task, rows=6000)
    started = time.perf_counter()
    model = CatBoostLearner().fit(
        table.job(seconds=1.0, rounds=5000, params={"learning_rate": 0.01, "grow_policy": policy})
    )
    assert time.perf_counter() - started < 30
    assert model.rounds is not None
    assert 1 <= model.rounds < 5000


def test_nothing_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = make_table("binary")
    model = CatBoostLearner().fit(table.job(rounds=3))
    model.predict(table.data.values)
    model.export()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    table = make_table("multiclass")
    table.data.target[table.data.target == 1] = 2
    CatBoostLearner().fit(table.job(rounds=3))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("task", TASKS)
def test_shared_pool_changes_nothing(task: str) -> None:
    table, learner = make_table(task), CatBoostLearner()
    job = table.job(rounds=10)
    alone = learner.fit(job).predict(table.data.values)
    named = replace(job, data=replace(table.data, key="named"))
    for _ in range(2):
        assert np.array_equal(learner.fit(named).predict(table.data.values), alone)


def test_weights_go_through_the_shared_pool() -> None:
    table = make_table("regression").with_data(key="weighted")
    weight = np.where(table.data.target > 0, 1.0, 0.0)
    data = replace(table.data, weight=weight)
    predicted = CatBoostLearner().fit(table.job(data=data, rounds=100)).predict(table.data.values)
    assert predicted.min() > -0.2


@pytest.mark.parametrize("policy", ["Depthwise", "Lossguide"])
def test_monotone_columns_are_followed_whatever_the_policy(policy: str) -> None:
    table = make_table("regression")
    first, *others = table.data.columns
    falling = table.with_data(columns=(replace(first, monotone=-1), *others))
    model = CatBoostLearner().fit(falling.job(rounds=60, params={"grow_policy": policy, "min_data_in_leaf": 3}))
    values = np.repeat(table.values(table.test[:5]), 50, axis=0)
    values[:, 0] = np.tile(np.linspace(-3, 3, 50, dtype=np.float32), 5)
    assert (np.diff(model.predict(values).reshape(5, 50), axis=1) <= 1e-9).all()


def test_valid_rows_of_an_unknown_class_are_left_out() -> None:
    table = make_table("multiclass")
    known = table.train[table.data.target[table.train] != 1]
    model = CatBoostLearner().fit(table.job(train=known, rounds=40))
    assert isinstance(model, CatBoostModel)
    assert len(model.curve) >= model.rounds >= 1
    predicted = model.predict(table.values(table.test))
    assert (predicted[:, 1] == 0).all()
    assert np.allclose(predicted.sum(axis=1), 1)


def constant_columns(table: Table) -> Table:
    values = np.tile(np.array([1.0, np.nan, 2.0], np.float32), (len(table.data.target), 1))
    return table.with_data(values=values, columns=(Column("one"), Column("none"), Column("kind", 4)))


@pytest.mark.parametrize(
    ("task", "objective", "statistic"),
    [
        ("regression", "", np.mean),
        ("regression", "absolute_error", np.median),
        ("regression", "quantile:0.9", lambda target: np.quantile(target, 0.9)),
        ("binary", "", lambda target: [1 - target.mean(), target.mean()]),
        ("multiclass", "", lambda target: np.bincount(target.astype(int)) / len(target)),
    ],
)
def test_constant_columns_give_a_constant(task: str, objective: str, statistic: Any) -> None:
    table, learner = constant_columns(make_table(task)), CatBoostLearner()
    model = learner.fit(table.job(objective=objective))
    assert isinstance(model, ConstantModel)
    predicted = model.predict(table.data.values)
    assert np.allclose(predicted, statistic(table.data.target[table.train]))
    assert np.allclose(evaluate(model.export(), table.data.values), predicted)
    assert np.array_equal(learner.load(learner.dump(model)).predict(table.data.values), predicted)


def test_defaults_are_the_same_for_all_folds() -> None:
    table, learner = make_table("binary"), CatBoostLearner()
    rates = [learner.fit(table.job(train=rows, valid=None, rounds=1)) for rows in (table.train, table.train[:100])]
    assert len({model.booster.get_all_params()["learning_rate"] for model in rates}) == 1  # type: ignore[union-attr]


def test_portfolio_starts_with_the_defaults() -> None:
    first = min(CatBoostLearner().portfolio("binary", 1000, [Column("a")]), key=lambda candidate: candidate.rank)
    assert (first.params, first.rank) == ({}, 2.0)


@pytest.mark.parametrize("rows", [1000, 100_000])
def test_portfolio_names_nothing_without_effect(rows: int) -> None:
    candidates = CatBoostLearner().portfolio("binary", rows, [Column("a"), Column("b")])
    assert not {"max_ctr_complexity", "one_hot_max_size", "model_size_reg"} & {
        name for candidate in candidates for name in candidate.params
    }
    assert len({tuple(sorted(candidate.params.items())) for candidate in candidates}) == len(candidates)


def test_many_rows_get_a_faster_configuration() -> None:
    few, many = (CatBoostLearner().portfolio("binary", rows, [Column("a")]) for rows in (1000, 100_000))
    assert {"learning_rate": 0.3, "depth": 5} in [candidate.params for candidate in many]
    assert len(many) == len(few) + 1
