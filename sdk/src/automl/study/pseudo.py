"""A second round of a study, which learns from unlabelled rows, too, by labels that the first round gives them.

Lee (2013) for the labels; those of classes are drawn by sharpened probabilities (Berthelot et al. 2019, MixMatch). Each
fold has labels of its own, by models that had not seen its validation rows, so that what the second round scores out of
fold on the labelled rows is as honest as the first round's. Whether its members may join the ensemble, these scores decide.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.predictor import Predictor
from automl.prepare import fingerprint
from automl.study.calibration import apply_temperature
from automl.study.ensemble import choose_weights
from automl.study.finish import Flats, flatten_members
from automl.study.frame import WHOLE, Frame, Labelled
from automl.study.members import Member, Proposal
from automl.study.views import PSEUDO
from automl_core import Candidate, Data, Shared, TrialState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.study.loop import Loop

__all__ = ["SecondRound", "tell_unlabelled"]

SHARE = 0.5  # of the time of the search, for the second round
MEMBERS = 6  # best ones of the first round, at most: they give the labels, and learn again
SURE = 0.7  # of the rows, by class those that are surest, which are learned from
SHARPENED = 0.5  # the temperature of the probabilities that classes are drawn by
RATIO = 10  # unlabelled rows for each labelled one, at most
LABEL_SHARE = 0.2  # of the time of the second round, for the labels
NESTED, JUDGES, COMPETING = 5, 2_000, 8  # parts, rows and members, at most, by which the rounds are compared
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
        teachers = _complete(loop, pseudo=False)[:MEMBERS]
        values = self.values[self._sample(teachers)]
        if len(values):
            loop.frame = _extend(loop, teachers, values)
            loop.shared = self.share(loop.frame)
            again = (_again(member, rank) for rank, member in enumerate(teachers))
            loop.proposals = [*again, *loop.proposals]
        loop.run()

    def decide(self) -> Mapping[str, Any]:
        """Bar the second round's members from the ensemble unless they pay, and tell what became of the rows.

        They pay where the ensemble of both rounds is better than that of the first, see `_nested`.

        Returns:
            rows: that were given. learned: how many of them trials learned from. trials: how many did. used: whether the
            ensemble may have these. without, with: the scores that were compared, None where there is nothing to compare.
        """
        loop, pseudo = self.loop, self.loop.frame.pseudo
        first, second = _complete(loop, pseudo=False), _complete(loop, pseudo=True)
        told: dict[str, Any] = {
            "rows": len(self.values), "learned": len(pseudo[WHOLE].rows) if second else 0, "trials": len(second),
            "used": False, "without": None, "with": None,
        }  # fmt: skip
        if first and second and loop.clock.left > 0.2 * loop.clock.reserve:
            without, both = (_nested(loop, pool) for pool in (first, [*first, *second]))
            to_score = loop.metric.to_score
            told |= {"used": both < without, "without": float(to_score(without)), "with": float(to_score(both))}
        for member in second:
            member.barred = not told["used"]
        log.info("%s", tell_unlabelled(told, loop.metric.name))
        return told

    def _sample(self, teachers: Sequence[Member]) -> NDArray[np.int64]:
        """Return which unlabelled rows there is time for, at random; int64, sorted.

        In half of it the quickest teacher must be fitted again, and a fit takes as long as it has rows.
        """
        loop = self.loop
        labelled, most = len(loop.frame.data.target), len(self.values)
        count = min(most, RATIO * labelled) if teachers else 0
        if loop.clock.limit is not None and teachers:
            room = max(loop.clock.search_left, 0.0)
            each = sum(fit.predict_seconds for member in teachers for fit in member.fits.values()) / labelled
            quickest = min(member.seconds for member in teachers)
            for_labels = LABEL_SHARE * room / max(each * len(loop.frame.splits), 1e-9)
            for_fits = labelled * (0.5 * room * loop.plan.slots / max(quickest, 1e-9) - 1)
            count = int(min(count, for_labels, for_fits))
        rng = np.random.default_rng(loop.frame.seed)
        return np.sort(rng.permutation(most)[: max(count, 0)])


def tell_unlabelled(told: Mapping[str, Any], metric: str) -> str:
    """Return one sentence on what `SecondRound.decide` told."""
    found = f"unlabelled rows ({told['rows']:,}, learned from {told['learned']:,}) "
    if told["with"] is None:
        return f"{found}are not used: time or trials did not suffice"
    compared = f"{metric} {told['with']:.5g} with them and {told['without']:.5g} without, nested"
    return f"{found}are {'' if told['used'] else 'not '}used: {compared}"


def _complete(loop: Loop, *, pseudo: bool) -> list[Member]:
    """Return complete members of one of the rounds, the best first."""
    found = [
        m for m in loop.members if m.trial.state == TrialState.COMPLETE and m.view.endswith(PSEUDO) == pseudo
    ]  # fmt: skip
    return sorted(found, key=lambda member: (member.trial.loss, member.trial.id))


def _nested(loop: Loop, members: Sequence[Member]) -> float:
    """Return the loss of the members' ensemble on rows that did not choose its weights, classes being in some doubt."""
    rows, _ = loop.collect(members[0])
    some = np.random.default_rng(loop.frame.seed).permutation(len(rows))[:JUDGES]
    target, weight = loop.frame.data.target[rows[some]], loop.frame.data.weight
    mass = None if weight is None else weight[rows[some]]
    stack = np.stack([loop.collect(member)[1][some].astype(np.float64) for member in members])
    mixed, label = np.empty_like(stack[0]), np.arange(len(some)) % NESTED
    for part in range(NESTED):
        inner = label != part
        shares = choose_weights(
            list(stack[:, inner]), target[inner], loop.metric, weight=None if mass is None else mass[inner],
            seed=loop.frame.seed, limit=COMPETING, left=lambda: 0.0,
        ).weights  # fmt: skip
        mixed[~inner] = np.tensordot(shares, stack[:, ~inner], 1)
    classes = loop.frame.classes
    if not classes:
        return loop.metric.loss(target, mixed, mass)
    # By the rule of succession one row more may be of any class: certainty that few rows cannot prove is no gain.
    doubt, mass = 1 / (len(target) + 2), np.ones(len(target)) if mass is None else mass
    copies = np.repeat(np.arange(classes, dtype=np.float64), len(target))
    weights = np.r_[(1 - doubt) * mass, np.tile(doubt / classes * mass, classes)]
    return loop.metric.loss(np.r_[target, copies], np.concatenate([mixed] * (classes + 1)), weights)


def _again(member: Member, rank: int) -> Proposal:
    candidate = Candidate(member.trial.params, rank / MEMBERS, member.view + PSEUDO)
    return Proposal(member.trial.learner, candidate)


# ---- labels


def _extend(loop: Loop, teachers: Sequence[Member], values: NDArray[np.float32]) -> Frame:
    """Return the frame with unlabelled rows, labelled for each part by the models of that part, for the whole by all."""
    frame, flats = loop.frame, Flats(len(loop.frame.data.columns))
    said = {part: _teach(loop, teachers, part, values, flats) for part in range(len(frame.splits))}
    said[WHOLE] = np.mean(list(said.values()), axis=0)
    stacked = np.ascontiguousarray(np.concatenate([frame.data.values, values]))
    pseudo = {part: _label(frame, part, stacked, opinion) for part, opinion in said.items()}
    return replace(frame, pseudo=pseudo)


def _teach(
    loop: Loop, teachers: Sequence[Member], part: int, values: NDArray[np.float32], flats: Flats
) -> NDArray[np.float64]:
    """Return the mean of what the models of one part say."""
    chosen = [(replace(member, fits={part: member.fits[part]}), 1 / len(teachers)) for member in teachers]
    parts, opaque = flatten_members(loop, chosen, flats)
    predictor = Predictor(parts, opaque, classes=loop.frame.classes, columns=values.shape[1])
    return predictor.predict(values, threads=loop.plan.threads * loop.plan.slots)


def _label(frame: Frame, part: int, values: NDArray[np.float32], said: NDArray[np.float64]) -> Labelled:
    data, known = frame.data, len(frame.data.target)
    rows, target = np.arange(len(said)), said
    if frame.classes:
        rows = _surest(said, data.target[frame.train(part)])
        # The first class of every row makes forests so sure of themselves that one wrong row costs more than all gain.
        luck = np.random.default_rng((frame.seed, part + 1)).random((len(said), 1))
        below = apply_temperature(said, SHARPENED).cumsum(axis=1) < luck
        target = below.sum(axis=1).clip(max=frame.classes - 1).astype(np.float64)
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
