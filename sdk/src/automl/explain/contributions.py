"""Shapley values of an ensemble's predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from automl.explain.links import LINKS, Link, spread_rest, temperature_link
from automl.explain.network import explain_network, network_of
from automl.explain.plain import explain_plainly
from automl.explain.sources import source_shares
from automl.predictor.derived import to_codes
from automl.predictor.kernel import COMPILED, pack
from automl.predictor.plain import fill_block
from automl.predictor.program import LINK_CODES, Program, compile_parts
from automl_core import Additive, DataError, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor import Part, Predictor

__all__ = ["explain"]

CELLS = 1 << 22  # numbers in memory at once
Score = Callable[["NDArray[np.float32]", "NDArray[np.float64]"], "NDArray[np.float64]"]
_prepared: WeakKeyDictionary[Predictor, dict[bool, tuple[Program, Score]]] = WeakKeyDictionary()
NAMES = {code: name for name, code in LINK_CODES.items()}


def explain(predictor: Predictor, values: NDArray[np.float32], *, compiled: bool = COMPILED) -> NDArray[np.float64]:
    """Return what each encoded column adds to each row's prediction.

    - What a column adds to a forest's raw score is its Shapley value, where the score without a column is the mean over
      both ways at nodes that ask it, weighted by the training rows that went there: path-dependent TreeSHAP (Lundberg,
      Erion, Lee 2018), exact.
    - To an additive model's raw score it adds what its value adds, less what a missing value would.
    - To a network's raw scores it adds its integrated gradients from the row of which every value is missing; see
      `explain_network`.
    - What a derived column adds is shared equally among the columns it is made of.
    - Where a link turns raw scores into probabilities, their way is followed: what column i adds is multiplied by the mean
      slope of the link on the straight line from the score without any column to the row's own (Aumann, Shapley 1974).
      So it is for the temperature. The mean over members then goes by their weights.

    So the sum over axis 1 is exactly what `predict` returns.

    Args:
        values: float32 (rows, columns), encoded rows. compiled: False is for tests of numpy's way.

    Returns:
        float64: (rows, columns + 1, outputs): one output for regression, else one per class; last what is predicted
        without any column, the same for all rows.

    Raises:
        DataError: a member is neither flat nor a network, or a forest does not say how many training rows reached its nodes.
    """
    _check(predictor)
    outputs = max(predictor.classes, 1)
    program, run = _prepare(predictor, compiled)
    slots = int(program.parts[:, 2].sum())
    players = predictor.columns + len(program.derived)
    step = max(1, CELLS // ((players + 1) * max(slots, outputs)))
    said = np.empty((len(values), predictor.columns + 1, outputs))
    shares = source_shares(program.derived, predictor.columns)
    values = np.ascontiguousarray(values)
    for start in range(0, len(values), step):
        rows = values[start : start + step]
        raw = run(rows, np.zeros((len(rows), players + 1, slots)))
        raw = _to_encoded(raw, shares, predictor.columns)
        mean = _to_predictions(predictor, program, raw, outputs) + _of_networks(predictor, rows, outputs)
        if predictor.classes and predictor.temperature != 1.0:
            mean = _follow(temperature_link(predictor.temperature), mean)
        said[start : start + step] = mean
    return said


def _prepare(predictor: Predictor, compiled: bool) -> tuple[Program, Score]:
    """Return the program whose nodes are walked, and what walks it; made once for each predictor."""
    prepared = _prepared.setdefault(predictor, {})
    if compiled not in prepared:
        outputs = max(predictor.classes, 1)
        program = compile_parts(predictor.parts, columns=predictor.columns, outputs=outputs, oblivious=False)
        prepared[compiled] = program, _scorer(program, predictor, compiled)
    return prepared[compiled]


def _check(predictor: Predictor) -> None:
    for member in predictor.opaque:
        if network_of(member) is None:
            raise DataError(
                f"the member {member.name!r} has no flat form, so this ensemble's predictions cannot be explained."
            )
    for part in predictor.parts:
        if isinstance(part.flat, Forest) and part.flat.cover is None:
            raise DataError(
                "a forest does not say how many training rows reached its nodes, so it cannot be explained."
            )


def _scorer(program: Program, predictor: Predictor, compiled: bool) -> Score:
    """Return what writes contributions to raw scores, (rows, players + 1, slots)."""
    parts = predictor.parts  # and not the predictor, which would then live as long as what is prepared for it
    shares = _node_shares(program, parts)
    players = np.ascontiguousarray(program.columns.fills[:, 1])
    packed = pack(program) if compiled else None

    def score(values: NDArray[np.float32], out: NDArray[np.float64]) -> NDArray[np.float64]:
        if packed is None:
            explain_plainly(program, values, out, shares, players)
        else:
            packed.explain(values, out, shares, players, out.shape[1] - 1)
        _explain_additive(program, parts, values, out)
        return out

    return score


def _node_shares(program: Program, parts: tuple[Part, ...]) -> NDArray[np.float64]:
    """Return which share of its parent's training rows reached each node; half where no row reached the parent."""
    cover = np.zeros(len(program.value))
    for part, (begin, end) in zip(parts, program.parts[:, 3:5], strict=True):
        if isinstance(part.flat, Forest) and part.flat.cover is not None and begin < end:
            own = slice(program.trees[begin, 0], program.trees[end - 1, 6])
            cover[own] = part.flat.cover[program.node[own]]
    shares = np.ones(len(cover))
    inner = np.flatnonzero(program.delta > 0)
    first = inner + program.delta[inner]
    both = cover[first] + cover[first + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(both > 0, cover[first] / both, 0.5)
    shares[first], shares[first + 1] = share, 1.0 - share
    return shares


def _explain_additive(
    program: Program, parts: tuple[Part, ...], values: NDArray[np.float32], out: NDArray[np.float64]
) -> None:
    block: NDArray[np.float32] | None = None
    slot = 0
    for row, part in zip(program.parts, parts, strict=True):
        flat, outputs = part.flat, int(row[2])
        if isinstance(flat, Additive):
            block = fill_block(program, values) if block is None else block
            for column, start, place, _ in program.terms[row[3] : row[4]]:
                missing = program.reals[place + 2 + outputs : place + 2 + 2 * outputs]
                added = flat.scale * (_term(program, flat, block[:, column], int(start), int(place)) - missing)
                out[:, program.columns.fills[column, 1], slot : slot + outputs] += added
                out[:, -1, slot : slot + outputs] += flat.scale * missing
        slot += outputs


def _term(program: Program, flat: Additive, value: NDArray[np.float32], start: int, place: int) -> NDArray[np.float64]:
    """Return what one column adds to each row's raw scores before scaling, (rows, outputs)."""
    outputs = len(flat.base)
    low, high = program.reals[place : place + 2]
    weight, missing = program.reals[place + 2 : place + 2 + 2 * outputs].reshape(2, outputs)
    known = ~np.isnan(value)
    if start < 0:
        said = np.clip(value.astype(np.float64), low, high)[:, None] * weight
    else:
        code = to_codes(value).astype(np.int64) + start
        known &= code < len(flat.table)
        said = flat.table[np.where(known, code, 0)] if len(flat.table) else np.zeros((len(value), outputs))
    return np.asarray(np.where(known[:, None], said, missing))


def _to_encoded(raw: NDArray[np.float64], shares: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    plain, derived, base = raw[:, :columns], raw[:, columns:-1], raw[:, -1:]
    if derived.shape[1]:
        plain = plain + np.einsum("rds,dc->rcs", derived, shares)
    return np.concatenate([plain, base], axis=1)


def _to_predictions(
    predictor: Predictor, program: Program, raw: NDArray[np.float64], outputs: int
) -> NDArray[np.float64]:
    said = np.zeros((*raw.shape[:2], outputs))
    slot = 0
    for row, part in zip(program.parts, predictor.parts, strict=True):
        own = raw[:, :, slot : slot + row[2]]
        said += part.weight * _follow(LINKS[NAMES[int(row[1])]], own)
        slot += int(row[2])
    return said


def _of_networks(predictor: Predictor, values: NDArray[np.float32], outputs: int) -> NDArray[np.float64]:
    said = np.zeros((len(values), predictor.columns + 1, outputs))
    for member in predictor.opaque:
        if (network := network_of(member)) is not None:
            raw = explain_network(member, network, values)
            raw = _to_encoded(raw, source_shares(member.derived, predictor.columns), predictor.columns)
            said += member.weight * _follow(LINKS[network.link], raw)
    return said


def _follow(link: Link, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return contributions behind a link of contributions before it; last on axis 1 is what both start from."""
    start = scores[:, -1]
    end = scores.sum(axis=1)
    slope = link.mean_slope(start, end)
    added = np.einsum("rko,rco->rkc", scores[:, :-1], slope)
    low, high = link.apply(start), link.apply(end)
    spread_rest(added, high - low, otherwise=np.ones((1, added.shape[1], 1)))
    return np.concatenate([added, low[:, None]], axis=1)
