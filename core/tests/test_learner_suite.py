"""The learner suite sees what is wrong with learners; that it holds for a right one, the README's learner shows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core import REGRESSION, TASKS, Additive, Candidate, Float, Job, Learner, Space
from automl_core.testing import LearnerConformance
from automl_core.testing.tables import Table, loss, make_table


@dataclass(eq=False)
class Constant:
    """Predicts the mean of the target, or the shares of the classes."""

    outputs: NDArray[np.float64]
    classes: int
    rounds: int | None = None
    fault: str = ""

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.fault == "writes":
            values[:] = 0
        predicted = np.tile(self.outputs, (len(values), 1)) if self.classes else np.full(len(values), self.outputs[0])
        if self.fault == "float32":
            return predicted.astype(np.float32)
        if self.fault == "nan":
            predicted[np.isnan(values).any(axis=1)] = np.nan
        return predicted * 1.01 if self.fault == "sum" else predicted

    def export(self) -> Additive:
        none, wide = np.zeros((5, len(self.outputs))), np.zeros(5)
        base = self.outputs + (1e-3 if self.fault == "export" else 0.0)
        link = "probability" if self.classes else "identity"
        return Additive(5, none, none, wide, wide, none[:0], np.full(5, -1, np.int32), base, link)

    @property
    def curve(self) -> list[float]:
        return [1.0, 0.9]

    def cut(self, rounds: int) -> Constant:
        return self if self.fault == "cut" else replace(self, rounds=rounds, outputs=self.outputs[::-1])


class Means(Learner):
    """Fits a `Constant`, with one fault."""

    tasks = TASKS

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def space(self, task: str) -> Space:
        return Space({"l2": Float(0.0, 1.0)})

    def portfolio(self, *_: object) -> list[Candidate]:
        return [Candidate({"l2": 2.0 if self.fault == "portfolio" else 1.0})]

    def fit(self, job: Job) -> Constant:
        if self.fault != "any-parameter":
            self.space(job.task).check(job.params)
        rows = np.arange(len(job.data.target)) if self.fault == "leak" else job.train
        target = job.data.target[rows]
        weight = job.data.weight[rows] if job.data.weight is not None and self.fault != "weight" else np.ones(len(rows))
        if self.fault == "writes-data":
            job.data.values[0, 0] += 1
        noise = int.from_bytes(os.urandom(4)) / 2**32 if self.fault == "seed" else 0.0
        if job.task == REGRESSION:
            return Constant(np.array([target @ weight / weight.sum() + noise]), 0, job.rounds, self.fault)
        shares = np.bincount(target.astype(int), weight + noise, job.classes) + 0.01
        if self.fault == "classes":
            shares = shares[shares > 0.02]
        rounds = 2 if job.rounds is None else job.rounds + (self.fault == "rounds")
        return Constant(shares / shares.sum(), job.classes, rounds, self.fault)


WRONG: dict[str, tuple[str, Callable[..., object]]] = {
    "float32": ("float32", LearnerConformance.test_predictions_have_their_shape_and_type),
    "nan": ("nan", LearnerConformance.test_missing_and_unseen_values_are_predicted),
    "sum": ("sum", LearnerConformance.test_predictions_have_their_shape_and_type),
    "learns-nothing": ("", LearnerConformance.test_it_finds_the_signal),
    "classes": ("classes", LearnerConformance.test_class_that_no_train_row_has_keeps_its_place),
    "writes": ("writes", LearnerConformance.test_job_is_not_changed),
    "writes-data": ("writes-data", LearnerConformance.test_job_is_not_changed),
    "read-only": ("writes-data", LearnerConformance.test_data_may_be_read_only),
    "seed": ("seed", LearnerConformance.test_same_seed_gives_the_same_model),
    "leak": ("leak", LearnerConformance.test_targets_of_other_rows_do_not_matter),
    "weight": ("weight", LearnerConformance.test_weights_count),
    "unknown": ("any-parameter", LearnerConformance.test_unknown_parameter_is_a_value_error),
    "bounds": ("any-parameter", LearnerConformance.test_parameter_out_of_bounds_is_a_value_error),
    "export": ("export", LearnerConformance.test_exported_model_predicts_the_same),
    "rounds": ("rounds", LearnerConformance.test_rounds_are_honoured),
    "cut": ("cut", LearnerConformance.test_cut_model_is_the_one_of_that_round),
}


def call(fault: str, check: Callable[..., object], *, task: str = "multiclass") -> None:
    check(LearnerConformance(), Means(fault), make_table(task))


@pytest.mark.parametrize("wrong", WRONG)
def test_check_sees_what_is_wrong(wrong: str) -> None:
    fault, check = WRONG[wrong]
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        call(fault, check)


@pytest.mark.parametrize("wrong", [name for name in WRONG if name not in ("learns-nothing", "cut")])
def test_check_accepts_what_is_right(wrong: str) -> None:
    call("", WRONG[wrong][1])


def test_check_sees_a_portfolio_outside_of_the_space() -> None:
    with pytest.raises(ValueError, match=r"l2=2\.0"):
        LearnerConformance().test_portfolio_lies_in_the_space(Means("portfolio"), "binary", 50, 0)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_table_is_what_it_says(task: str) -> None:
    table: Table = make_table(task)
    values, data = table.data.values, table.data
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert sorted(np.concatenate([table.train, table.valid, table.test]).tolist()) == list(range(len(values)))
    assert (values[table.test, 3] == 4).any()
    assert not (values[np.concatenate([table.train, table.valid]), 3] == 4).any()
    assert np.isnan(values[table.train, 1:]).any(axis=0).all()
    assert loss(task, data.target, data.target if task == REGRESSION else np.eye(3)[data.target.astype(int)]) < 1e-9
