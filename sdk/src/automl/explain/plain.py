"""Path-dependent TreeSHAP with numpy, leaf by leaf: slow, for where the kernel is not built, and to test it."""

from __future__ import annotations

from collections.abc import Iterator
from math import factorial
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.plain import fill_block, second_child

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.program import Program

__all__ = ["explain_plainly"]


def explain_plainly(
    program: Program,
    values: NDArray[np.float32],
    out: NDArray[np.float64],
    shares: NDArray[np.float64],
    players: NDArray[np.int32],
) -> None:
    """Add contributions to raw scores as the kernel's `explain` does: `out` is (rows, players + 1, slots)."""
    block = fill_block(program, values)
    slot = 0
    for part, (_, scale) in zip(program.parts, program.part_reals, strict=True):
        outputs = int(part[2])
        out[:, -1, slot : slot + outputs] += program.reals[part[5] : part[5] + outputs]
        for tree in program.trees[part[3] : part[4]] if not part[0] else ():
            first, width = slot + int(tree[2]), int(tree[3])
            for leaf, ways in _paths(program, block, int(tree[0]), shares, players):
                place = tree[5] + int(program.value[leaf]) * width
                worth = scale * program.reals[place : place + width]
                out[:, -1, first : first + width] += worth * np.prod([zero for zero, _ in ways.values()])
                for player, mean in _leaf_values(ways):
                    out[:, player, first : first + width] += mean[:, None] * worth
        slot += outputs


Ways = dict[int, tuple[float, "NDArray[np.float64]"]]


def _paths(
    program: Program, block: NDArray[np.float32], root: int, shares: NDArray[np.float64], players: NDArray[np.int32]
) -> Iterator[tuple[int, Ways]]:
    """Yield each leaf, and for each player asked on the way: the share of training rows that went on, and which rows do."""
    rows = np.arange(len(block))
    waiting: list[tuple[int, Ways]] = [(root, {})]
    while waiting:
        node, ways = waiting.pop()
        if not program.delta[node]:
            yield node, ways
            continue
        second = second_child(program, block, rows, np.full(len(rows), node))
        player = int(players[program.feature[node]])
        zero, one = ways.get(player, (1.0, np.ones(len(rows))))
        for side, goes in enumerate((~second, second)):
            child = int(node + program.delta[node] + side)
            waiting.append((child, {**ways, player: (zero * float(shares[child]), one * goes)}))


def _leaf_values(ways: Ways) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield for each player the weighted mean, over sets of the others, of what it adds to reaching the leaf."""
    count = len(ways)
    weights = [factorial(size) * factorial(count - 1 - size) / factorial(count) for size in range(count)]
    for player, (zero, one) in ways.items():
        # Coefficient s: the chance to get here where s of the others are known, summed over all such sets.
        chances = [np.ones(len(one))]
        for other, (zero_other, one_other) in ways.items():
            if other != player:
                unknown = [chance * zero_other for chance in chances]
                known = [chance * one_other for chance in chances]
                nothing = np.zeros(len(one))
                chances = [a + b for a, b in zip([*unknown, nothing], [nothing, *known], strict=True)]
        reached = np.asarray(sum(weight * chance for weight, chance in zip(weights, chances, strict=True)))
        yield player, (one - zero) * reached
