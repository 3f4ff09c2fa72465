"""A second round of a study, which learns from unlabelled rows, too, by labels that the first round gives them.

Lee (2013) for the labels. Each fold has labels of its own, by models that had not seen its validation rows, so that what
the second round scores out of fold on the labelled rows is as honest as the first round's. Whether its members may join
the ensemble, these scores decide.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor import Predictor
from automl.prepare import fingerprint
from automl.study.ensemble import choose_weights
from automl.study.finish import Flats, flatten_members
from automl.study.frame import WHOLE, Frame, Labelled
from automl.study.members import Member, Proposal
from automl.study.views import PSEUDO
from automl_core import Candidate, Data, Shared, TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.metrics import Metric
    from automl.study.loop import Loop

__all__ = ["SecondRound", "tell_unlabelled"]

SHARE = 0.5  # of the time of the search, for the second round
MEMBERS = 6  # of the first round's ensemble that learn again, at most
TEACHERS = 8  # members that give labels together, at most
SURE = 0.7  # of the rows, by class those that are surest, which are learned from
RATIO = 10  # unlabelled rows for each labelled one, at most
LEAST_ROWS = 10
LABEL_SHARE = 0.2  # of the time of the second round, for the labels
GUARD = 1.0  # standard errors of the gain, from which on they pay
NESTED, MAX_ROWS, RESAMPLES = 5, 4_000, 200
log = logging.getLogger("automl.study")


@dataclass(slots=True, eq=False)
class SecondRound:
    """Keeps back time and trials of a loop, spends them on unlabelled rows, and tells whether that pays.

    Attributes:
        values: float32 (rows, columns), the encoded unlabelled rows.
        share: puts a frame where workers are.
    """

    loop: Loop
    values: NDArray[np.float32]
    share: Callable[[Frame], Shared[Frame]]
    _why: str = "the first round did not end"
    _trials: int | None = field(init=False)

    def __post_init__(self) -> None:
        loop = self.loop
        self._trials = loop.max_trials
        if loop.clock.limit is not None:
            loop.clock.later = SHARE * max(loop.clock.search_left, 0.0)
        if loop.max_trials is not None:
            loop.max_trials -= min(MEMBERS, loop.max_trials // 2)

    def run(self) -> None:
        """Label the rows and let the best members learn from them; then go on with the search."""
        loop = self.loop
        loop.clock.later, loop.max_trials = 0.0, self._trials
        members = _complete(loop, pseudo=False)
        if self._trials == len(loop.members):
            self._why = "no trial was left for them"
        elif not members:
            self._why = "no model was there in time to label them"
        elif len(chosen := self._sample(members)) < LEAST_ROWS:
            self._why = "there was no time for them"
        else:
            self._why = "no fit of them ended in time"
            loop.frame = _extend(loop, members, self.values[chosen])
            loop.shared = self.share(loop.frame)
            loop.proposals = [*_again(loop, members), *loop.proposals]
        loop.run()

    def decide(self) -> Mapping[str, Any]:
        """Bar the second round's members from the ensemble unless they pay, and tell what became of the rows.

        They pay where the ensemble of both rounds is better than that of the first by more than a standard error, each
        on rows that did not choose its weights.

        Returns:
            rows: that were given. learned: that the final models would learn from. used: whether the ensemble may have them.
            gain, low, high: of the nested score, with its 95 % interval, positive where it is better; None where
            nothing was compared, and `why` tells the reason.
        """
        loop = self.loop
        first, second = _complete(loop, pseudo=False), _complete(loop, pseudo=True)
        pseudo = loop.frame.pseudo
        told: dict[str, Any] = {
            "rows": len(self.values), "learned": len(pseudo[WHOLE].rows) if pseudo else 0, "trials": len(second),
            "used": False, "gain": None, "low": None, "high": None, "why": self._why,
        }  # fmt: skip
        gains = _gains(loop, first, second) if first and second else None
        if gains is not None:
            low, high = np.percentile(gains[1:], [2.5, 97.5])
            used = bool(gains[0] > GUARD * gains[1:].std())
            why = "" if used else "the gain is not more than a standard error"
            told |= {"used": used, "gain": float(gains[0]), "low": float(low), "high": float(high), "why": why}
        elif second:
            told["why"] = "there was no time to judge them"
        for member in loop.members:
            member.barred = member.view.endswith(PSEUDO) and not told["used"]
        log.info("%s", tell_unlabelled(told, loop.metric.name))
        return told

    def _sample(self, members: Sequence[Member]) -> NDArray[np.int64]:
        """Return which unlabelled rows there is time for, at random; int64, sorted."""
        loop = self.loop
        labelled, most = len(loop.frame.data.target), len(self.values)
        count = min(most, RATIO * labelled)
        if loop.clock.limit is not None:
            room = max(loop.clock.search_left, 0.0)
            each = sum(fit.predict_seconds for m in members[:TEACHERS] for fit in m.fits.values()) / labelled
            quickest = min(m.seconds for m in members)
            for_labels = LABEL_SHARE * room / max(each * len(loop.frame.splits), 1e-9)
            for_fits = labelled * (0.5 * room * loop.plan.slots / max(quickest, 1e-9) - 1)
            count = int(min(count, for_labels, for_fits))
        rng = np.random.default_rng(loop.frame.seed)
        return np.sort(rng.permutation(most)[: max(count, 0)])


def tell_unlabelled(told: Mapping[str, Any], metric: str) -> str:
    """Return one sentence on what `SecondRound.decide` told."""
    found = f"unlabelled rows ({told['rows']:,}, learned from {told['learned']:,}) "
    if told["gain"] is None:
        return f"{found}are not used: {told['why']}"
    gain = f"{metric} better by {told['gain']:.4g} ({told['low']:.4g} to {told['high']:.4g}), nested"
    return f"{found}are used: {gain}" if told["used"] else f"{found}are not used, as {told['why']}: {gain}"


def _complete(loop: Loop, *, pseudo: bool) -> list[Member]:
    """Return complete members of one of the rounds, the best first."""
    found = [
        m for m in loop.members if m.trial.state == TrialState.COMPLETE and m.view.endswith(PSEUDO) == pseudo
    ]  # fmt: skip
    return sorted(found, key=lambda member: (member.trial.loss, member.trial.id))


# ---- labels


def _extend(loop: Loop, members: Sequence[Member], values: NDArray[np.float32]) -> Frame:
    """Return the frame with unlabelled rows, labelled for each part by the models of that part."""
    frame, flats = loop.frame, Flats(len(loop.frame.data.columns))
    said = {part: _teach(loop, members, part, values, flats) for part in range(len(frame.splits))}
    said[WHOLE] = np.mean(list(said.values()), axis=0)
    stacked = np.ascontiguousarray(np.concatenate([frame.data.values, values]))
    pseudo = {part: _label(frame, part, stacked, opinion) for part, opinion in said.items()}
    return Frame(frame.data, frame.splits, frame.task, frame.classes, frame.seed, frame.objective, pseudo)


def _teach(
    loop: Loop, members: Sequence[Member], part: int, values: NDArray[np.float32], flats: Flats
) -> NDArray[np.float64]:
    """Return what the models of one part say, weighed by the rows of the other parts; of one part alone their mean."""
    target, weight = loop.frame.data.target, loop.frame.data.weight
    rows, _ = loop.collect(members[0])
    others = ~np.isin(rows, loop.frame.splits[part].valid)
    shares = np.full(len(members), 1 / len(members))
    if others.any():
        judges = rows[others]
        said = [loop.collect(member)[1][others] for member in members]
        mass = None if weight is None else weight[judges]
        shares = choose_weights(
            said, target[judges], loop.metric, weight=mass, seed=loop.frame.seed, limit=TEACHERS, left=lambda: 0.0
        ).weights
    chosen = [
        (replace(member, fits={part: member.fits[part]}), float(w)) for member, w in zip(members, shares, strict=True)
        if w > 0
    ]  # fmt: skip
    parts, opaque = flatten_members(loop, chosen, flats)
    teacher = Predictor(parts, opaque, classes=loop.frame.classes, columns=values.shape[1])
    return teacher.predict(values, threads=loop.plan.threads * loop.plan.slots)


def _label(frame: Frame, part: int, values: NDArray[np.float32], said: NDArray[np.float64]) -> Labelled:
    data, known = frame.data, len(frame.data.target)
    if frame.classes:
        rows, target = _surest(said, data.target[frame.train(part)]), said.argmax(axis=1).astype(np.float64)
    else:
        rows, target = np.arange(len(said)), said
    weight = None if data.weight is None else np.r_[data.weight, np.full(len(said), data.weight.mean())]
    key = f"{data.key}/{fingerprint(values, target)}"
    return Labelled(Data(values, data.columns, np.r_[data.target, target], weight, key), known + rows)


def _surest(said: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows whose first class is surest, as many of each class as its share of the labelled rows asks for."""
    first, sure, classes = said.argmax(axis=1), said.max(axis=1), said.shape[1]
    wanted = SURE * len(said) * np.bincount(target.astype(np.int64), minlength=classes) / len(target)
    found = []
    for place in range(classes):
        mine = np.flatnonzero(first == place)
        found.append(mine[np.argsort(-sure[mine], kind="stable")][: math.ceil(wanted[place])])
    return np.sort(np.concatenate(found))


def _again(loop: Loop, members: Sequence[Member]) -> list[Proposal]:
    """Return the heaviest members of the first round's ensemble, to be fitted with the unlabelled rows."""
    rows, _ = loop.collect(members[0])
    weight = loop.frame.data.weight
    shares = choose_weights(
        [loop.collect(member)[1] for member in members], loop.frame.data.target[rows], loop.metric,
        weight=None if weight is None else weight[rows], seed=loop.frame.seed, limit=TEACHERS, left=lambda: 0.0,
    ).weights  # fmt: skip
    order = [int(place) for place in np.argsort(-shares, kind="stable")[:MEMBERS] if shares[place] > 0]
    return [
        Proposal(m.trial.learner, Candidate(m.trial.params, rank / MEMBERS, m.view + PSEUDO))
        for rank, m in enumerate(members[place] for place in order)
    ]


# ---- whether they pay


def _gains(loop: Loop, first: Sequence[Member], second: Sequence[Member]) -> NDArray[np.float64] | None:
    """Return what both rounds' ensemble has less of the loss than the first's: on all rows, then on resampled ones.

    None where there is no time to tell.
    """
    rows, _ = loop.collect(first[0])
    rng = np.random.default_rng(loop.frame.seed)
    some = np.sort(rng.permutation(len(rows))[:MAX_ROWS])
    target, weight = loop.frame.data.target[rows[some]], loop.frame.data.weight
    mass = None if weight is None else weight[rows[some]]
    pools = [[loop.collect(m)[1][some].astype(np.float64) for m in pool] for pool in (first, [*first, *second])]
    label, mixed = rng.permutation(len(some)) % NESTED, [np.empty_like(pool[0]) for pool in pools]
    for part in range(NESTED):
        began = time.monotonic()
        inner, outer = label != part, label == part
        for pool, out in zip(pools, mixed, strict=True):
            found = choose_weights(
                [said[inner] for said in pool], target[inner], loop.metric, weight=None if mass is None else mass[inner],
                seed=loop.frame.seed, limit=TEACHERS, left=lambda: 0.0,
            )  # fmt: skip
            out[outer] = np.tensordot(found.weights, np.stack([said[outer] for said in pool]), 1)
        if (NESTED - part - 1) * (time.monotonic() - began) > loop.clock.left - 0.5 * loop.clock.reserve:
            return None
    return _resampled(loop.metric, target, mass, mixed, rng)


def _resampled(
    metric: Metric,
    target: NDArray[np.float64],
    weight: NDArray[np.float64] | None,
    said: Sequence[NDArray[np.float64]],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    draws = [np.arange(len(target)), *(rng.integers(0, len(target), len(target)) for _ in range(RESAMPLES))]
    losses = [
        [metric.loss(target[drawn], one[drawn], None if weight is None else weight[drawn]) for one in said]
        for drawn in draws
        if metric.needs == "number" or len(np.unique(target[drawn])) > 1
    ]
    gains: NDArray[np.float64] = np.array(losses) @ np.array([1.0, -1.0])
    return gains
