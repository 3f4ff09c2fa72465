"""From fitted trials to what is shipped: weights, refits, flat arrays, calibration."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from automl.metrics import Metric
from automl.predictor import Opaque, Part
from automl.predictor.network import NetworkModel
from automl.study.calibration import choose_temperature, choose_threshold
from automl.study.cost import CALL, ROW_MICROSECONDS, Cost, cost_of_flat, cost_of_network, microseconds
from automl.study.ensemble import Ensemble, choose_weights
from automl.study.frame import WHOLE, Fitted, Order, fit_part, settle
from automl.study.members import refit_seconds, train_share
from automl.study.views import View, to_base
from automl_core import REGRESSION, Additive, Exports, Flat, Forest, Network, TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.study.loop import Loop
    from automl.study.members import Member

__all__ = ["Flats", "Shipment", "exported", "finish", "flatten", "flatten_members", "why_constant"]

FEWEST_PARTS = 2  # models of each member's folds that are shipped where all would be too slow
MAX_CURVES, CURVE_POINTS = 3, 60
log = logging.getLogger("automl.study")


@dataclass(frozen=True, slots=True, eq=False)
class Shipment:
    """What a study found.

    Attributes:
        parts, opaque: weighted models; all weights sum to 1.
        shares: weight by trial number.
        ensemble: how the weights came about; None where nothing but the constant was fitted in time.
        threshold: probability from which class 1 is predicted.
        curves: validation loss over rounds of the members that weigh most, as plain data.
    """

    parts: list[Part]
    opaque: list[Opaque]
    shares: dict[int, float]
    ensemble: Ensemble | None
    rows: NDArray[np.int64]
    prediction: NDArray[np.float64]
    temperature: float = 1.0
    threshold: float = 0.5
    curves: list[dict[str, Any]] = field(default_factory=list)


def finish(loop: Loop, metric: Metric, *, seed: int, predict_time_limit: float | None) -> Shipment:
    """Choose the ensemble and make it ready to predict without any training library.

    Args:
        predict_time_limit: microseconds that one row may cost, by estimate; members go until it is met.
    """
    members, rows, stack = _candidates(loop)
    if not members:
        return _constant(loop)
    target, weight = loop.frame.data.target[rows], loop.frame.data.weight
    mass = None if weight is None else weight[rows]
    flats = Flats(len(loop.frame.data.columns))
    left = list(range(len(members)))
    while True:
        ensemble = choose_weights(
            [stack[i] for i in left], target, metric, weight=mass, seed=seed,
            kinds=[members[i].trial.learner for i in left],
            left=lambda: loop.clock.left - 0.3 * loop.clock.reserve,
        )  # fmt: skip
        chosen = [(members[left[i]], float(w)) for i, w in enumerate(ensemble.weights) if w > 0]
        curves = _curves(chosen)  # before the folds' models go
        share = train_share(loop.frame) if loop.plan.refit else None
        over = _thin(chosen, predict_time_limit, flats, refit=share, seconds=max(loop.clock.left, 0.0))
        if over is None:
            break
        place = next(i for i in left if members[i] is over)
        if _cut(loop, over, predict_time_limit, flats, share):
            stack[place] = cast("NDArray[np.float32]", over.prediction)
        else:
            left.remove(place)
    mixed = np.tensordot(ensemble.weights, np.stack([stack[i] for i in left]).astype(np.float64), 1)
    if loop.plan.refit:
        _refit(loop, chosen)
    parts, opaque = flatten_members(loop, chosen, flats)
    shares = {member.trial.id: w for member, w in chosen}
    temperature, threshold = 1.0, 0.5
    if loop.frame.task != REGRESSION and metric.name in ("log_loss", "brier"):
        temperature = choose_temperature(target, mixed, mass)
    if loop.frame.classes == 2 and metric.needs == "label" and metric.name != "accuracy":
        threshold = choose_threshold(target, mixed, metric, mass)
    return Shipment(parts, opaque, shares, ensemble, rows, mixed, temperature, threshold, curves)


def _candidates(loop: Loop) -> tuple[list[Member], NDArray[np.int64], list[NDArray[np.float32]]]:
    """Return complete members; else those that have the most parts in common, judged on these parts."""
    members = [m for m in loop.members if m.trial.state == TrialState.COMPLETE and not m.barred]
    if not members:
        partial = [m for m in loop.members if m.fits]
        if not partial:
            return [], np.empty(0, dtype=np.int64), []
        most = max(partial, key=lambda m: len(m.fits))
        parts = set(most.fits)
        members = [m for m in partial if parts <= set(m.fits)]
        for member in members:
            member.fits = {part: fit for part, fit in member.fits.items() if part in parts}
    rows, _ = loop.collect(members[0])
    return members, rows, [loop.collect(member)[1] for member in members]


class Flats:
    """The fitted parts as flat arrays, each made once."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._made: dict[int, tuple[Fitted, Forest | Additive | None]] = {}

    def __call__(self, fit: Fitted) -> Forest | Additive | None:
        if id(fit) not in self._made:
            self._made[id(fit)] = fit, flatten(fit, self._columns)
        return self._made[id(fit)][1]

    def cost(self, fit: Fitted) -> Cost:
        """Estimate what one row costs."""
        flat = self(fit)
        if flat is not None:
            return cost_of_flat(flat)
        network = exported(fit.model)
        return cost_of_network(network, derived=len(fit.derived)) if isinstance(network, Network) else CALL


def _thin(
    chosen: Sequence[tuple[Member, float]], limit: float | None, flats: Flats, *, refit: float | None, seconds: float
) -> Member | None:
    """Keep as many parts of each member as the limit allows, at least `FEWEST_PARTS`, and as can be flattened in time.

    Fewer models of the same members cost less accuracy than fewer members. Returns the member that costs most for its
    weight where even that is over the limit, and then changes nothing.

    Args:
        refit: the share of rows that parts are fitted on, where one model of all rows, of as many more trees, is to take
            the place of each member's; what is kept is shipped where the time does not suffice for that.
    """
    began = time.monotonic()
    costs, more = [flats.cost(member.fits[min(member.fits)]) for member, _ in chosen], 1 / (refit or 1.0)
    each = time.monotonic() - began  # of one part of all members, nothing where they were made already
    parts = max(len(member.fits) for member, _ in chosen)
    kept = parts
    while limit is not None and kept and ROW_MICROSECONDS + microseconds(costs, kept * more) > limit:
        kept -= 1
    if kept < (1 if refit else min(FEWEST_PARTS, parts)):
        worst = max(zip(chosen, costs, strict=True), key=lambda item: microseconds([item[1]]) / item[0][1])[0][0]
        if len(chosen) > 1 or _rounds_within(worst, limit, flats, refit):
            return worst
        if not kept:
            log.warning(
                "a row is estimated to take %.0f us of the %.0f us it may: no model that was fitted is fast enough",
                ROW_MICROSECONDS + microseconds(costs, more), limit,
            )  # fmt: skip
    if parts * each > seconds:
        kept = min(kept, 1 + int(seconds / each))
    for member, _ in chosen:
        member.fits = dict(sorted(member.fits.items())[: max(kept, 1)])
    return None


def _rounds_within(member: Member, limit: float | None, flats: Flats, refit: float | None) -> int | None:
    """Return the rounds up to which one part alone keeps to the limit; None where it does, or cannot be cut to."""
    first = member.fits[min(member.fits)]
    cost = microseconds([flats.cost(first)], 1 / (refit or 1.0))
    if limit is None or cost <= limit - ROW_MICROSECONDS or first.model.rounds is None:
        return None
    if any(fit.curve is None for fit in member.fits.values()):
        return None
    return int(first.model.rounds * (limit - ROW_MICROSECONDS) / cost) if limit > ROW_MICROSECONDS else 0


def _cut(loop: Loop, member: Member, limit: float | None, flats: Flats, refit: float | None) -> bool:
    """Cut a member that is over the limit all by itself to fewer rounds; tell whether it was."""
    rounds = _rounds_within(member, limit, flats, refit)
    if not rounds:
        return False
    fits = [member.fits[part] for part in sorted(member.fits)]
    order = _whole(loop, member)
    # Here, as fits that were given up on may hold all places of the executor.
    member.fits = {fit.part: fit for fit in settle(loop.shared, fits, order, rounds)}
    rows, member.prediction = loop.collect(member)
    target, weight = loop.frame.data.target[rows], loop.frame.data.weight
    loss = loop.metric.loss(target, member.prediction, None if weight is None else weight[rows])
    member.trial = replace(member.trial, rounds=rounds, loss=loss)
    return True


# ---- refit


def _refit(loop: Loop, chosen: Sequence[tuple[Member, float]]) -> None:
    """Fit members on all rows, the heaviest first, as far as the time goes; the others keep their folds' models."""
    waiting = sorted(chosen, key=lambda item: -item[1])
    flights: dict[Future[Fitted], Member] = {}
    while waiting or flights:
        while waiting and len(flights) < loop.plan.slots:
            member, _ = waiting.pop(0)
            if refit_seconds(member, loop.frame) <= loop.clock.left - 0.15 * loop.clock.reserve:
                flights[loop.executor.submit(fit_part, loop.shared, _whole(loop, member))] = member
        if not flights:
            return
        left = loop.clock.left - 0.1 * loop.clock.reserve
        done, _ = wait(flights, timeout=None if left == float("inf") else max(left, 0.01), return_when=FIRST_COMPLETED)
        if not done:
            log.info("no time left for %d refits: their folds' models are shipped", len(flights))
            return
        for future in done:
            member = flights.pop(future)
            try:
                member.fits = {WHOLE: future.result()}
            except Exception as error:  # noqa: BLE001 - the models of its folds are there
                log.warning("refit of trial %d failed: %s; its folds' models are shipped", member.trial.id, error)


def _whole(loop: Loop, member: Member) -> Order:
    rounds = member.trial.rounds
    # More rows carry more rounds, in proportion (automl.md 6.11).
    scaled = None if rounds is None else max(1, round(rounds / train_share(loop.frame, member.view)))
    return Order(
        trial=member.trial.id,
        part=WHOLE,
        learner=loop.learners[member.trial.learner],
        params=member.trial.params,
        view=member.view,
        recipe=member.recipe,
        seed=member.trial.seed,
        threads=loop.plan.threads,
        rounds=scaled,
    )


# ---- learning curves


def _curves(chosen: Sequence[tuple[Member, float]]) -> list[dict[str, Any]]:
    """Return the mean curve over the parts of those members that weigh most and have one."""
    found: list[dict[str, Any]] = []
    for member, _ in sorted(chosen, key=lambda item: -item[1]):
        curves = [fit.curve for fit in member.fits.values()]
        known = [np.asarray(curve, dtype=np.float64) for curve in curves if curve is not None]
        length = max((len(curve) for curve in known), default=0)
        if length < 2 or len(known) < len(curves) or len(found) == MAX_CURVES:
            continue
        # As `cut_to` has it: a part that stopped earlier stays at its last loss.
        mean = np.mean([np.r_[curve, np.full(length - len(curve), curve[-1])] for curve in known], axis=0)
        places = np.unique(np.linspace(0, length - 1, CURVE_POINTS).astype(int))
        found.append({
            "name": f"{member.trial.learner}#{member.trial.id}", "rounds": (places + 1).tolist(),
            "loss": [float(f"{loss:.6g}") for loss in mean[places]], "kept": member.trial.rounds,
        })  # fmt: skip
    return found


# ---- flat arrays


def flatten_members(
    loop: Loop, chosen: Sequence[tuple[Member, float]], flats: Flats
) -> tuple[list[Part], list[Opaque]]:
    """Return the parts of weighted members as a predictor takes them; a member's weight is shared evenly among its parts."""
    parts: list[Part] = []
    opaque: list[Opaque] = []
    for member, weight in chosen:
        for fit in member.fits.values():
            share = weight / len(member.fits)
            flat = flats(fit)
            if flat is not None:
                parts.append(Part(flat, share))
            else:
                name, model = member.trial.learner, _without_library(fit.model)
                learner = None if isinstance(model, NetworkModel) else loop.learners[name]
                opaque.append(Opaque(name, learner, model, fit.keep, fit.derived, share))
    return parts, opaque


def _without_library(model: Any) -> Any:
    """Return a network as numpy alone evaluates it, and any other model as it is."""
    network = exported(model)
    return NetworkModel(network) if isinstance(network, Network) and not network.derived else model


def exported(model: Any) -> Flat | Network | None:
    """Return the arrays of a fitted model; None where it has no such form."""
    return model.export() if isinstance(model, Exports) else None


def flatten(fit: Fitted, columns: int) -> Forest | Additive | None:
    """Return a fitted part as flat arrays over the encoded columns; None where it has no such form."""
    flat = exported(fit.model)
    if flat is None or isinstance(flat, Network):  # the predictor fuses trees and additive models only
        return None
    try:
        return to_base(flat, View(None, fit.keep, fit.derived), columns)  # type: ignore[arg-type]
    except ValueError:
        return None


def why_constant(loop: Loop, shipment: Shipment) -> list[str]:
    """Return why nothing but the constant was shipped, where it was, and log it."""
    if shipment.ensemble is not None:
        return []
    reason = next((m.trial.error for m in loop.members if m.trial.error), "there was no time for one")
    said = f"no model was fitted, so that every row is predicted the same: {reason.strip()}"
    log.warning("%s", said)
    return [said]


def _constant(loop: Loop) -> Shipment:
    """Return the prior: the mean, or the classes' shares."""
    data, columns = loop.frame.data, len(loop.frame.data.columns)
    if loop.frame.task == REGRESSION:
        base, link = np.array([np.average(data.target, weights=data.weight)]), "identity"
    else:
        counts = np.bincount(data.target.astype(np.int64), weights=data.weight, minlength=loop.frame.classes)
        base, link = counts / counts.sum(), "probability"
    zeros = np.zeros((columns, len(base)))
    flat = Additive(
        columns=columns,
        weight=zeros,
        missing=zeros,
        low=np.full(columns, -np.inf),
        high=np.full(columns, np.inf),
        table=np.zeros((0, len(base))),
        table_start=np.full(columns, -1, dtype=np.int32),
        base=base,
        link=link,
    )
    rows = np.arange(len(data.target))
    said: Any = np.full(len(rows), base[0]) if link == "identity" else np.tile(base, (len(rows), 1))
    return Shipment([Part(flat, 1.0)], [], {}, None, rows, said)
