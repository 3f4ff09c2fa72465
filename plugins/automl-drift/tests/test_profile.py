"""Counts on frozen bins: the same from whatever holds the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl_drift.profile import Profile

EDGES = [0.0, 1.0, 2.0]
PROFILE = Profile("x", "number", np.zeros(5, np.int64), np.array(EDGES))


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        pytest.param(
            [-0.5, 0.0, 1.0, 1.5, 2.0, 2.5], [1, 1, 3, 1, 0], id="edges belong to the bin above, the last below"
        ),
        pytest.param(
            [0.5, None, float("nan"), float("inf"), -float("inf")], [0, 1, 0, 0, 4], id="not finite is missing"
        ),
        pytest.param([0, 1, 2, 10**400], [0, 1, 2, 0, 1], id="an integer beyond any float"),
        pytest.param(["0.5", "word", 1.5], [0, 1, 1, 0, 1], id="text is read where it is a number"),
        pytest.param([True, False], [0, 1, 1, 0, 0], id="truth values"),
        pytest.param([[0.5], {}, 1.5], [0, 0, 1, 0, 2], id="what is no value"),
        pytest.param([], [0, 0, 0, 0, 0], id="nothing"),
    ],
)
@pytest.mark.parametrize("holder", [list, tuple, lambda values: np.array([*values, None], dtype=object)[:-1]])
@pytest.mark.parametrize("times", [1, 500])  # few are searched, many compared
def test_counts_are_the_same_from_any_holder(values: list[Any], counts: list[int], holder: Any, times: int) -> None:
    assert PROFILE.count(holder(values * times)).tolist() == [times * count for count in counts]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_arrays_count_as_their_lists(dtype: type) -> None:
    values = np.random.default_rng(0).uniform(-1, 3, 1000).astype(dtype)
    assert PROFILE.count(values).tolist() == PROFILE.count(values.tolist()).tolist()
