from __future__ import annotations

from dataclasses import replace

import pytest

from automl.study.plan import Shape, make_plan

LARGE = Shape(rows=300_000, minority=1_000, capacity=2, threads=2)


def test_slow_fits_have_one_part_and_time_to_be_fitted_again():
    plan = make_plan(LARGE, probe=5.0, time_limit=60.0)
    assert (plan.folds, plan.refit) == (1, True)
    assert 0 < plan.refit_seconds < plan.reserve < 60.0
    quick = make_plan(LARGE, probe=0.1, time_limit=60.0)
    assert quick.folds > 1
    assert not quick.refit
    assert quick.reserve == pytest.approx(plan.reserve - plan.refit_seconds)


def test_time_is_kept_back_for_refits_that_can_be_had_only():
    plan = make_plan(LARGE, probe=5.0, time_limit=60.0)
    base = plan.reserve - plan.refit_seconds
    assert plan.reserve_for([]) == plan.reserve  # nothing is known yet
    assert plan.reserve_for([plan.refit_seconds]) == pytest.approx(base)  # too slow by itself
    few = plan.reserve_for([1.0, 2.0])
    assert base + 3.0 / plan.slots <= few < plan.reserve
    assert plan.reserve_for([1.0, 2.0, 2 * plan.refit_seconds]) == pytest.approx(few)
    assert plan.reserve_for([5.0] * 50) == pytest.approx(plan.reserve)


def test_where_one_model_of_each_member_is_wanted_time_is_kept_back_for_it():
    quick = make_plan(replace(LARGE, refit=True), probe=0.1, time_limit=60.0)
    assert quick.folds > 1
    assert quick.refit
    assert quick.refit_seconds > 0
