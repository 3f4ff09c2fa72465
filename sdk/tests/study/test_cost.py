"""What one row is estimated to cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl.predictor.kernel import COMPILED
from automl.study.cost import cost_of_flat, cost_of_network, microseconds
from automl_core import Forest, Network


def forest(trees: int, *, leaves: int = 32, width: int = 1) -> Forest:
    """Trees of the right size, which nobody walks."""
    nodes, none = trees * (2 * leaves - 1), np.zeros(0, np.int32)
    whole = np.zeros(nodes, np.int32)
    return Forest(
        columns=1, feature=whole, threshold=whole.astype(np.float32), left=whole, right=whole, missing_left=whole > 0,
        category=whole - 1, words=whole, bits=none.astype(np.uint32), values=np.zeros((trees * leaves, width)),
        roots=np.zeros(trees, np.int32), output=np.zeros(trees, np.int32), base=np.zeros(max(width, 1)), link="identity",
    )  # fmt: skip


def network(activation: str, cosines: int = 0) -> Network:
    none = np.zeros(0, np.int32)
    return Network(
        columns=2, source=np.arange(2, dtype=np.int32), center=np.zeros(2), factor=np.ones(2), flags=none,
        frequency=np.zeros((2, cosines), np.float32), phase=np.zeros((2, cosines), np.float32), categories=none, start=none,
        width=none, levels=none, table=np.zeros(0, np.float32),
        weights=(np.zeros((2 * (1 + cosines), 64), np.float32), np.zeros((64, 1), np.float32)),
        biases=(np.zeros(64, np.float32), np.zeros(1, np.float32)), activation=activation, base=np.zeros(1), link="identity",
    )  # fmt: skip


@pytest.mark.parametrize("trees", [300, 8000])
def test_models_that_no_cache_holds_cost_more_each(trees) -> None:
    cost = cost_of_flat(forest(trees))
    assert (microseconds([cost] * 5) > 2 * 5 * microseconds([cost])) == (trees == 8000)
    assert microseconds([cost], 5) == pytest.approx(microseconds([cost] * 5))


@pytest.mark.parametrize("changes", [{"leaves": 1024}, {"width": 26}])
def test_deeper_trees_and_more_outputs_cost_more(changes) -> None:
    assert microseconds([cost_of_flat(forest(100, **changes))]) > 1.5 * microseconds([cost_of_flat(forest(100))])


def test_sets_of_categories_cost_more_than_numbers() -> None:
    numbers = forest(100)
    sets = replace(numbers, category=np.zeros_like(numbers.category))
    assert microseconds([cost_of_flat(sets)]) > 1.5 * microseconds([cost_of_flat(numbers)])


def leveled(trees: int, depth: int, thresholds: int) -> Forest:
    """Full trees, whose levels ask for one threshold each, or for as many by turns."""
    size = (2 << depth) - 1
    number = np.tile(np.arange(size), trees)
    inner, begin = number < size // 2, np.repeat(np.arange(trees) * size, size)
    child = np.where(inner, begin + 2 * number + 1, number - size // 2).astype(np.int32)
    return replace(
        forest(trees, leaves=1 << depth),
        feature=np.where(inner, 0, -1).astype(np.int32), threshold=(number % thresholds).astype(np.float32),
        left=child, right=np.where(inner, child + 1, 0).astype(np.int32), roots=(np.arange(trees) * size).astype(np.int32),
    )  # fmt: skip


def test_trees_that_ask_one_question_a_level_cost_less() -> None:
    costs = [cost_of_flat(leveled(1000, depth, thresholds)) for depth, thresholds in ((4, 1), (6, 1), (6, 3))]
    fewer, less, more = (microseconds([cost]) for cost in costs)
    assert fewer < less < more / 1.5
    assert cost_of_flat(leveled(1000, 6, 1)).lower_bytes == 1000 * 8 * (6 + 64)


def test_no_trees_cost_nothing() -> None:
    assert microseconds([cost_of_flat(forest(0))]) == 0.0


@pytest.mark.skipif(not COMPILED, reason="without the kernel all networks cost the same")
@pytest.mark.parametrize(
    ("slower", "faster"),
    [(network("mish"), network("selu")), (network("selu"), network("relu")), (network("relu", 8), network("relu"))],
)
def test_what_makes_a_network_slower_is_counted(slower, faster) -> None:
    costs = [cost_of_network(faster, derived=0), cost_of_network(slower, derived=0), cost_of_network(faster, derived=1)]
    assert costs == sorted(costs, key=lambda cost: cost.steps)
    assert len(set(costs)) == 3
