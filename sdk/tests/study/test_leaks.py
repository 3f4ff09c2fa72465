from __future__ import annotations

import numpy as np
import pytest

from automl.study.leaks import find_leaks
from automl_core import Column, Data

RNG = np.random.default_rng(0)


def table(*columns: np.ndarray, target: np.ndarray, categories: tuple[int, ...] = ()) -> Data:
    kinds = categories or (0,) * len(columns)
    values = np.column_stack(columns).astype(np.float32)
    return Data(values, tuple(Column(f"c{i}", k) for i, k in enumerate(kinds)), target.astype(np.float64))


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_a_column_that_holds_the_target_is_named(classes):
    target = RNG.integers(0, classes, 2000) if classes else RNG.normal(size=2000)
    noise = RNG.normal(size=2000)
    (warning,) = find_leaks(table(noise, target * 3.0 + 1, target=target), classes)
    assert "'c1'" in warning


def test_a_good_column_is_no_leak():
    signal = RNG.normal(size=2000)
    target = (signal + RNG.normal(0, 0.5, 2000) > 0).astype(float)
    assert find_leaks(table(signal, target=target), 2) == []


def test_a_category_of_many_levels_is_not_mistaken_for_one():
    target = RNG.integers(0, 2, 2000)
    noise = RNG.normal(size=2000)
    assert find_leaks(table(np.arange(2000) % 1500, noise, target=target, categories=(1500, 0)), 2) == []


def test_repeated_rows_are_counted():
    signal = np.tile(RNG.normal(size=1000), 2)
    target = RNG.integers(0, 2, 2000)
    (warning,) = find_leaks(table(signal, target=target), 2)
    assert "50% of the rows" in warning
