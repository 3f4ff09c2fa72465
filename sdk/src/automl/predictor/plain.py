"""Evaluate a program with numpy: where the kernel is not built, and to test it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.columns import LOWEST, NEGATE, SLOT
from automl.predictor.derived import OUTSIDE, derive, to_codes
from automl.predictor.program import LINK_CODES, OBLIVIOUS, Program

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PlainProgram", "apply_link", "fill_block", "second_child", "temper"]

CELLS = 1 << 20  # rows x trees that go down together
LINKS = {code: link for link, code in LINK_CODES.items()}


class PlainProgram:
    """Evaluates a program as the kernel's `Program` does."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def predict(self, values: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        """Write predictions of encoded rows (rows, inputs) to `out`, of rows * outputs numbers."""
        program = self._program
        step = max(1, CELLS // max(1, len(program.trees)))
        wide = out.reshape(len(values), program.outputs)
        for start in range(0, len(values), step):
            rows = slice(start, start + step)
            wide[rows] = self._predict(values[rows])

    def _predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        program = self._program
        block = fill_block(program, values)
        total = np.zeros((len(values), program.outputs))
        for part, (weight, scale) in zip(program.parts, program.part_reals, strict=True):
            added = _terms(program, part, block) if part[0] else _trees(program, part, block)
            raw = program.reals[part[5] : part[5] + part[2]] + scale * added
            total += weight * apply_link(LINKS[int(part[1])], raw)
        return total if program.temperature == 1.0 else temper(total, program.temperature)


def fill_block(program: Program, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (rows, width): the columns that nodes read, slots as the bits of a uint32."""
    kind, source = program.columns.fills.T
    wide = np.column_stack([values, *(derive(item, values) for item in program.derived)])
    block = np.empty((len(values), len(kind)), dtype=np.float32)
    for column in range(len(kind)):
        value = wide[:, source[column]] if kind[column] != LOWEST else np.float32(-np.inf)
        if kind[column] == SLOT:
            codes = to_codes(np.asarray(value))
            slots = np.where(np.isnan(value), 0, np.where(codes == OUTSIDE, 0xFFFFFFFF, codes + np.uint64(1)))
            value = slots.astype(np.uint32).view(np.float32)
        block[:, column] = -value if kind[column] == NEGATE else value
    return block


def second_child(
    program: Program, block: NDArray[np.float32], row: NDArray[np.int64], node: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Tell for pairs of a row and a node whether the row goes to the node's second child."""
    feature, value = program.feature[node], program.value[node]
    seen = block[row, feature]
    with np.errstate(invalid="ignore"):
        second: NDArray[np.bool_] = ~(seen <= value.view(np.float32))
    asks = feature >= program.columns.first_set
    if asks.any():
        place = value[asks].astype(np.int64)
        slot = np.minimum(seen[asks].view(np.uint32), program.sets[place])
        word = program.sets[place + 1 + (slot >> np.uint32(5))]
        second[asks] = (word >> (slot & np.uint32(31))) & np.uint32(1) == 0
    return second


def temper(probability: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return probabilities to the power of 1 / temperature, renormalised (Guo et al. 2017)."""
    return _soften(np.log(np.maximum(probability, 1e-15)) / temperature)


def _trees(program: Program, part: NDArray[np.int64], block: NDArray[np.float32]) -> NDArray[np.float64]:
    trees = program.trees[part[3] : part[4]]
    added = np.zeros((len(block), part[2]))
    if not len(trees):
        return added
    leaf = _levels(program, trees, block) if trees[0, 1] == OBLIVIOUS else _leaves(program, trees, block)
    width = int(trees[0, 3])
    place = trees[:, 5] + leaf * width
    for output in np.unique(trees[:, 2]):
        own = place[:, trees[:, 2] == output]
        for w in range(width):  # in the order of trees, as the kernel adds
            added[:, output + w] += np.cumsum(program.reals[own + w], axis=1)[:, -1]
    return added


def _leaves(program: Program, trees: NDArray[np.int64], block: NDArray[np.float32]) -> NDArray[np.int64]:
    at = np.tile(trees[:, 0], (len(block), 1))
    row = np.repeat(np.arange(len(block)), len(trees))
    tree = np.tile(np.arange(len(trees)), len(block))
    while len(row):
        node = at[row, tree]
        delta = program.delta[node]
        moving = delta > 0
        row, tree, node, delta = row[moving], tree[moving], node[moving], delta[moving]
        at[row, tree] = node + delta + second_child(program, block, row, node)
    return program.value[at].astype(np.int64)


def _levels(program: Program, trees: NDArray[np.int64], block: NDArray[np.float32]) -> NDArray[np.int64]:
    leaf = np.zeros((len(block), len(trees)), dtype=np.int64)
    row, depth = np.arange(len(block)), trees[:, 6] - trees[:, 0]
    for level in range(depth.max()):
        deep = np.flatnonzero(depth > level)
        node = np.tile(trees[deep, 0] + level, len(row))
        second = second_child(program, block, np.repeat(row, len(deep)), node)
        leaf[:, deep] = leaf[:, deep] << 1 | second.reshape(len(row), -1)
    return leaf


def _terms(program: Program, part: NDArray[np.int64], block: NDArray[np.float32]) -> NDArray[np.float64]:
    outputs, table = int(part[2]), program.reals[part[6] : part[6] + part[7] * part[2]].reshape(-1, part[2])
    added = np.zeros((len(block), outputs))
    for column, start, place, _ in program.terms[part[3] : part[4]]:
        low, high = program.reals[place : place + 2]
        weight, missing = program.reals[place + 2 : place + 2 + 2 * outputs].reshape(2, outputs)
        value = block[:, column]
        if start < 0:
            known = ~np.isnan(value)
            said = np.clip(value.astype(np.float64), low, high)[:, None] * weight
        else:
            code = to_codes(value).astype(np.int64) + start
            known = ~np.isnan(value) & (code < len(table))
            said = table[np.where(known, code, 0)] if len(table) else np.zeros_like(added)
        added += np.where(known[:, None], said, missing)
    return added


def apply_link(link: str, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return predictions (rows, 1 or classes) of raw scores (rows, outputs); see `automl_core.flat`."""
    if link == "identity":
        return raw
    if link == "exp":
        return np.exp(raw)
    if link == "sigmoid":
        small = np.exp(-np.abs(raw))
        first = np.where(raw >= 0, 1.0, small) / (1.0 + small)
        return np.concatenate([1.0 - first, first], axis=1)
    return _soften(raw) if link == "softmax" else _normalise(np.maximum(raw, 0.0))


def _soften(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return _normalise(np.exp(raw - raw.max(axis=1, keepdims=True)))


def _normalise(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    total = parts.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # where nothing is left all classes are equally likely
        return np.asarray(np.where(total > 0, parts / total, 1.0 / parts.shape[1]))
