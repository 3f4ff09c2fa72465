"""What every learner must do."""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core.data import MULTICLASS, REGRESSION, TASKS, Column, Job, Model
from automl_core.errors import DataError
from automl_core.learners import Learner, Portable, Portfolio, Resumes, Staged
from automl_core.space import Choice, Params, Space
from automl_core.testing.conformance import Conformance, at_once
from automl_core.testing.tables import (
    Table,
    as_numbers,
    assert_exports,
    assert_sound,
    first_of_each_class,
    loss,
    make_table,
    predict_constant,
)

__all__ = ["LearnerConformance"]

VIEWS = {"base", "encoded", "derived"}
POINTS = 50


class LearnerConformance(Conformance):
    """Override the fixture `learner`. Each check runs for every task that the learner has.

    Attributes:
        params: what all checks but those of the space fit with: a point of the space that is quick to fit.
        uses_weights: rows with a larger weight count for more.
        honours_monotone: predictions follow `Column.monotone`, whatever of `objectives` is minimised, or a `DataError` that
            names the column refuses to.
        grace: seconds by which a fit may go over the `seconds` of its job.
    """

    params: ClassVar[Params] = {}
    uses_weights: ClassVar[bool] = True
    honours_monotone: ClassVar[bool] = False
    grace: ClassVar[float] = 5.0

    @pytest.fixture
    def learner(self) -> Learner:
        raise NotImplementedError("override the fixture `learner`")

    @pytest.fixture(params=sorted(TASKS))
    def task(self, request: pytest.FixtureRequest, learner: Learner) -> str:
        task: str = request.param
        if task not in learner.tasks:
            pytest.skip(f"no learner for {task}")
        return task

    @pytest.fixture
    def table(self, task: str) -> Table:
        return make_table(task)

    def job(self, table: Table, **changes: Any) -> Job:
        return table.job(params=dict(self.params), **changes)

    # ---- what it says of itself

    def test_tasks_are_known(self, learner: Learner) -> None:
        assert learner.tasks
        assert learner.tasks <= TASKS

    def test_sampled_parameters_lie_in_the_space(self, learner: Learner, task: str) -> None:
        space = learner.space(task)
        assert isinstance(space, Space)
        space.check(self.params)
        for seed in range(20):
            space.check(space.sample(Random(seed)))

    def test_memory_grows_with_the_table(self, learner: Learner, task: str) -> None:
        sizes = [learner.memory(task, rows, 10, 3) for rows in (1000, 1_000_000)]
        assert 0 < sizes[0] < sizes[1]

    @pytest.mark.parametrize(("rows", "categories"), [(50, 0), (5000, 12), (1_000_000, 100_000)])
    def test_portfolio_lies_in_the_space(self, learner: Learner, task: str, rows: int, categories: int) -> None:
        if not isinstance(learner, Portfolio):
            pytest.skip("no configuration is named to try first")
        for candidate in learner.portfolio(task, rows, [Column("number"), Column("other", categories)]):
            _assert_inside(learner.space(task), candidate.params)
            assert math.isfinite(candidate.rank)
            assert candidate.view in VIEWS

    # ---- what it predicts

    def test_predictions_have_their_shape_and_type(self, learner: Learner, table: Table) -> None:
        model = learner.fit(self.job(table))
        for rows in (table.test, table.test[:1]):
            assert_sound(table, model.predict(table.values(rows)), len(rows))

    def test_default_parameters_fit(self, learner: Learner, table: Table) -> None:
        model = learner.fit(table.job())
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    @pytest.mark.parametrize("seed", range(3))
    def test_sampled_parameters_fit(self, learner: Learner, table: Table, seed: int) -> None:
        params = learner.space(table.task).sample(Random(seed))
        model = learner.fit(table.job(params=params, seconds=5.0))
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    def test_it_finds_the_signal(self, learner: Learner, table: Table) -> None:
        target = table.data.target[table.test]
        predicted = learner.fit(self.job(table)).predict(table.values(table.test))
        constant = predict_constant(table, len(table.test))
        assert loss(table.task, target, predicted) < 0.8 * loss(table.task, target, constant)

    def test_it_fits_without_validation_rows(self, learner: Learner, table: Table) -> None:
        model = learner.fit(self.job(table, valid=None))
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    def test_missing_and_unseen_values_are_predicted(self, learner: Learner, table: Table) -> None:
        values = np.full((3, table.data.values.shape[1]), np.nan, np.float32)
        values[1, 3], values[2, :3] = 4.0, (3.0e38, -3.0e38, 0.0)
        assert_sound(table, learner.fit(self.job(table)).predict(values), 3)

    @pytest.mark.parametrize("column", [0, 3], ids=["number", "category"])
    def test_single_column_is_enough(self, learner: Learner, table: Table, column: int) -> None:
        one = table.with_data(
            values=table.data.values[:, [column]].copy(order="C"), columns=(table.data.columns[column],)
        )
        model = learner.fit(self.job(one))
        assert_sound(one, model.predict(one.values(one.test)), len(one.test))

    def test_useless_columns_do_no_harm(self, learner: Learner, table: Table) -> None:
        rows = len(table.data.target)
        useless = np.zeros((rows, 4), np.float32)
        useless[:, 1], useless[:, 2] = np.nan, np.linspace(-1e30, 1e30, rows)
        columns = (Column("constant"), Column("missing"), Column("huge"), Column("single", 1))
        wide = table.with_data(
            values=np.concatenate([table.data.values, useless], axis=1), columns=(*table.data.columns, *columns)
        )
        model = learner.fit(self.job(wide))
        assert_sound(wide, model.predict(wide.values(wide.test)), len(wide.test))

    def test_constant_target_is_predicted(self, learner: Learner, table: Table) -> None:
        target = np.full_like(table.data.target, 1.0)
        model = learner.fit(self.job(table.with_data(target=target)))
        predicted = model.predict(table.values(table.test))
        assert_sound(table, predicted, len(table.test))
        if table.task == REGRESSION:
            assert np.allclose(predicted, 1.0, atol=1e-3)
        else:
            assert (predicted.argmax(axis=1) == 1).all()

    def test_class_that_no_train_row_has_keeps_its_place(self, learner: Learner, table: Table) -> None:
        if table.task != MULTICLASS:
            pytest.skip("needs three classes")
        absent = np.where(table.data.target == 1.0, 2.0, table.data.target)
        predicted = learner.fit(self.job(table.with_data(target=absent))).predict(table.values(table.test))
        assert_sound(table, predicted, len(table.test))
        assert predicted[:, 1].mean() < predicted[:, 2].mean()

    def test_six_rows_are_enough(self, learner: Learner, table: Table) -> None:
        rows = first_of_each_class(table, 6)
        model = learner.fit(self.job(table, train=rows, valid=None))
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    def test_weights_count(self, learner: Learner, table: Table) -> None:
        if not self.uses_weights:
            pytest.skip("all rows count the same")
        high = table.data.target > np.median(table.data.target) if table.task == REGRESSION else table.data.target == 1
        means = []
        for weight in (1.0, 20.0):
            weighted = table.with_data(weight=np.where(high, weight, 1.0))
            predicted = learner.fit(self.job(weighted)).predict(table.values(table.test))
            means.append((predicted if table.task == REGRESSION else predicted[:, 1]).mean())
        assert means[0] < means[1]

    def test_monotone_column_is_followed(self, learner: Learner, table: Table) -> None:
        if not self.honours_monotone or table.task == MULTICLASS:
            pytest.skip("no promise is made")
        predicted = learner.fit(self.job(_falling(table))).predict(_lines(table))
        column = predicted if table.task == REGRESSION else predicted[:, 1]
        assert (np.diff(column.reshape(-1, POINTS), axis=1) <= 1e-9).all()

    @pytest.mark.parametrize("objective", ["absolute_error", "quantile:0.9"])
    def test_monotone_column_is_followed_whatever_is_minimised(
        self, learner: Learner, table: Table, objective: str
    ) -> None:
        if (
            not self.honours_monotone
            or table.task != REGRESSION
            or objective.partition(":")[0] not in learner.objectives
        ):
            pytest.skip("no promise is made")
        noise = np.random.default_rng(0).standard_t(2, len(table.data.target))
        table = table.with_data(target=np.abs(table.data.values[:, 0]) + noise)  # it would rise again
        try:
            model = learner.fit(self.job(_falling(table), objective=objective))
        except DataError as error:
            if table.data.columns[0].name not in str(error):
                raise
            pytest.skip(f"it refuses: {error}")
        assert (np.diff(model.predict(_lines(table)).reshape(-1, POINTS), axis=1) <= 1e-9).all()

    # ---- what it must not do

    def test_same_seed_gives_the_same_model(self, learner: Learner, table: Table) -> None:
        first, second = (learner.fit(self.job(table, seed=3)).predict(table.values(table.test)) for _ in range(2))
        assert np.array_equal(first, second)

    def test_tables_with_keys_do_not_mix(self, learner: Learner, table: Table) -> None:
        other = table.with_data(values=1 - table.data.values, target=table.data.target[::-1].copy())
        fresh = pickle.loads(pickle.dumps(learner))
        named = [table.with_data(key="one"), as_numbers(other).with_data(key="two")]
        both = [learner.fit(self.job(one)).predict(one.values(one.test)) for one in (*named, *named)]
        assert np.array_equal(both[0], both[2])
        assert np.array_equal(both[1], both[3])
        assert np.array_equal(both[1], fresh.fit(self.job(named[1])).predict(named[1].values(table.test)))

    def test_targets_of_other_rows_do_not_matter(self, learner: Learner, table: Table) -> None:
        target = table.data.target.copy()
        target[table.test] = 0.0 if table.task != REGRESSION else 1e6
        tables = (table, table.with_data(target=target))
        first, second = (learner.fit(self.job(one)).predict(table.values(table.test)) for one in tables)
        assert np.array_equal(first, second)

    def test_threads_may_fit_at_once(self, learner: Learner, table: Table) -> None:
        job, values = self.job(table), table.values(table.test)
        alone = learner.fit(job).predict(values)
        assert all(np.array_equal(alone, other) for other in at_once(3, lambda _: learner.fit(job).predict(values)))

    def test_job_is_not_changed(self, learner: Learner, table: Table) -> None:
        weight = np.ones_like(table.data.target)
        data = replace(table.data, weight=weight)
        given: list[NDArray[Any]] = [data.values, data.target, weight, table.train, table.valid]
        before = [array.copy() for array in given]
        values = table.values(table.test)
        model = learner.fit(self.job(table, data=data))
        asked = values.copy()
        model.predict(asked)
        assert all(np.array_equal(old, new, equal_nan=True) for old, new in zip(before, given, strict=True))
        assert np.array_equal(values, asked, equal_nan=True)

    def test_data_may_be_read_only(self, learner: Learner, table: Table) -> None:
        weight, values = np.ones_like(table.data.target), table.values(table.test)
        data = replace(table.data, weight=weight)
        arrays: list[NDArray[Any]] = [data.values, data.target, weight, table.train, table.valid, values]
        for array in arrays:
            array.flags.writeable = False
        assert_sound(table, learner.fit(self.job(table, data=data)).predict(values), len(values))

    def test_unknown_parameter_is_a_value_error(self, learner: Learner, table: Table) -> None:
        with pytest.raises(ValueError, match="no_such_parameter"):
            learner.fit(table.job(params={**self.params, "no_such_parameter": 1}))

    def test_parameter_out_of_bounds_is_a_value_error(self, learner: Learner, table: Table) -> None:
        for name, dimension in learner.space(table.task).items():
            value = "no such option" if isinstance(dimension, Choice) else dimension.high * 2 + 1
            with pytest.raises(ValueError, match=name):
                learner.fit(table.job(params={**self.params, name: value}))

    def test_unknown_objective_stands_for_the_usual_one(self, learner: Learner, table: Table) -> None:
        usual, unknown = (
            learner.fit(self.job(table, objective=objective)).predict(table.values(table.test))
            for objective in ("", "no_such_objective")
        )
        assert np.array_equal(usual, unknown)

    @pytest.mark.parametrize("objective", ["log_loss", "squared_error", "absolute_error", "quantile:0.9"])
    def test_objective_gives_sound_predictions(self, learner: Learner, table: Table, objective: str) -> None:
        model = learner.fit(self.job(table, objective=objective))
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    # ---- where it goes

    def test_quantile_that_is_named_is_learned(self, learner: Learner) -> None:
        if "quantile" not in learner.objectives or REGRESSION not in learner.tasks:
            pytest.skip("no quantiles")
        table = make_table(REGRESSION)
        truth, values = table.data.target[table.test], table.values(table.test)
        models = [learner.fit(self.job(table, objective=f"quantile:{level}")) for level in (0.1, 0.9)]
        below, above = (float((truth <= model.predict(values)).mean()) for model in models)
        assert below < 0.35
        assert above > 0.65

    def test_learner_and_model_can_be_pickled(self, learner: Learner, table: Table) -> None:
        values = table.values(table.test)
        model = pickle.loads(pickle.dumps(learner)).fit(self.job(table))
        copy = pickle.loads(pickle.dumps(model))
        assert np.array_equal(model.predict(values), copy.predict(values))
        assert copy.rounds == model.rounds

    def test_dumped_model_predicts_the_same(self, learner: Learner, table: Table) -> None:
        if not isinstance(learner, Portable):
            pytest.skip("models have no format of their own")
        model, values = learner.fit(self.job(table)), table.values(table.test)
        assert np.array_equal(learner.load(learner.dump(model)).predict(values), model.predict(values))

    @pytest.mark.parametrize("data", [b"", b"no model", b"\x00" * 1000], ids=["empty", "text", "zeros"])
    def test_bytes_that_are_no_model_are_a_value_error(self, learner: Learner, data: bytes) -> None:
        if not isinstance(learner, Portable):
            pytest.skip("models have no format of their own")
        with pytest.raises(ValueError):
            learner.load(data)

    def test_exported_model_predicts_the_same(self, learner: Learner, table: Table) -> None:
        assert_exports(learner.fit(self.job(table)), table.data.values)

    def test_export_keeps_ties_and_extremes(self, learner: Learner, table: Table) -> None:
        # Values of the training rows themselves and of two neighbours: where a threshold is one float off, it shows.
        model = learner.fit(self.job(table, valid=None, train=table.train[:60]))
        known = table.values(table.train[:60])
        numbers = np.isnan(known) | (np.array([column.categories for column in table.data.columns]) == 0)
        sides = [np.where(numbers, np.nextafter(known, np.float32(end)), known) for end in (-np.inf, np.inf)]
        extremes = np.full((2, known.shape[1]), np.nan, np.float32)
        extremes[:, :3] = [[3.0e38], [-3.0e38]]
        assert_exports(model, np.concatenate([known, *sides, extremes]).astype(np.float32))

    # ---- rounds and time

    def test_rounds_are_honoured(self, learner: Learner, table: Table) -> None:
        model = learner.fit(self.job(table, valid=None, rounds=7))
        if model.rounds is None:
            pytest.skip("it does not fit in rounds")
        assert model.rounds == 7
        assert learner.fit(self.job(table, valid=None, rounds=1)).rounds == 1

    @pytest.mark.parametrize("seconds", [0.0, 0.3])
    def test_seconds_are_honoured(self, learner: Learner, task: str, seconds: float) -> None:
        table = make_table(task, rows=8000)
        learner.fit(self.job(make_table(task, rows=100)))  # loads the library
        started = time.perf_counter()
        model = learner.fit(table.job(seconds=seconds))
        if model.rounds is None:
            pytest.skip("it does not fit in rounds")
        assert time.perf_counter() - started < seconds + self.grace
        assert model.rounds >= 1
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))

    def test_curve_covers_the_rounds(self, learner: Learner, table: Table) -> None:
        model = _staged(learner.fit(self.job(table)))
        assert model.rounds is not None
        assert 1 <= model.rounds <= len(model.curve)
        assert all(math.isfinite(value) for value in model.curve)

    def test_cut_model_is_the_one_of_that_round(self, learner: Learner, table: Table) -> None:
        model, values = _staged(learner.fit(self.job(table))), table.values(table.test)
        assert model.rounds is not None
        cuts = {rounds: model.cut(rounds) for rounds in {1, model.rounds, len(model.curve)}}
        assert {rounds: cut.rounds for rounds, cut in cuts.items()} == {rounds: rounds for rounds in cuts}
        assert np.array_equal(cuts[model.rounds].predict(values), model.predict(values))
        assert len(cuts) == 1 or not np.array_equal(cuts[1].predict(values), cuts[len(model.curve)].predict(values))

    def test_cut_model_exports_the_same(self, learner: Learner, table: Table) -> None:
        model = _staged(learner.fit(self.job(table)))
        assert_exports(model.cut(max(1, len(model.curve) // 2)), table.data.values)

    def test_resumed_model_has_more_rounds(self, learner: Learner, table: Table) -> None:
        if not isinstance(learner, Resumes):
            pytest.skip("it starts anew")
        job = self.job(table, valid=None, rounds=5)
        model = learner.resume(learner.fit(job), job)
        assert model.rounds == 10
        assert_sound(table, model.predict(table.values(table.test)), len(table.test))


def _assert_inside(space: Space, params: Params) -> None:
    space.check(params)
    for name in params:
        condition = space[name].when
        assert condition is None or condition.name not in params or condition.holds(params), f"{name} has no effect"


def _falling(table: Table) -> Table:
    first, *others = table.data.columns
    return table.with_data(columns=(replace(first, monotone=-1), *others))


def _lines(table: Table) -> NDArray[np.float32]:
    """Return 20 rows, each `POINTS` times with a growing first column."""
    values = np.repeat(table.values(table.test[:20]), POINTS, axis=0)
    values[:, 0] = np.tile(np.linspace(-3, 3, POINTS, dtype=np.float32), 20)
    return values


def _staged(model: Model) -> Any:
    if not isinstance(model, Staged):
        pytest.skip("it does not know its loss by round")
    return model
