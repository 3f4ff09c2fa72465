"""One view of all features: which verdict, since when, and who is to blame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core import DataError, SettingsError
from automl_drift.distances import jensen_shannon, ks_of_counts, psi
from automl_drift.features import Features, alike
from automl_drift.profile import Counts, Profile

__all__ = ["DRIFT", "FEW", "OK", "Finding", "Report", "Watch"]

OK, DRIFT, FEW = "ok", "drift", "not enough data"
DISCOVERY = 0.1  # the expected share of wrongly named features (e-BH: Wang and Ramdas 2022)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one feature.

    Attributes:
        effect: how far recent rows are from the reference, 0 to 1: Kolmogorov-Smirnov on the bins for numbers, total
            variation for categories; less one standard error, and what chance alone would give.
        evidence: log10 of the sum that is compared with the run length.
        impact: effect times importance.
        counts: recent rows, fading, on the bins of `profile`.
    """

    profile: Profile
    status: str
    effect: float
    evidence: float
    impact: float
    psi: float
    jensen_shannon: float
    counts: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Report:
    """`findings` by falling impact, drifted features first. `since` is the number of rows at the alarm."""

    status: str
    rows: int
    since: int | None
    evidence: float
    findings: tuple[Finding, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        return tuple(item.profile.name for item in self.findings if item.status == DRIFT)


_NUMBERS = ("rows", "since", "_waiting", "_observed", "_window_rows")  # of the state


class Watch:
    """Compares counts of later rows with reference profiles, for any number of features.

    An alarm needs evidence and size. On data like the reference there is at most one alarm per `run_length` rows on
    average, for all features together; half of that is spent on sums of evidence (`Evidence`), half on windows of
    `window` rows that are compared with the frozen reference alone, for changes so slow that the pool follows them.
    A drift ends when the size of each of its features has fallen below half of the tolerance.

    Rows are assumed to be exchangeable under no drift: with seasons, choose a reference that covers them.

    Args:
        run_length: in rows.
        block: rows that are collected before the evidence is looked at; a larger batch is one block.
        tolerance: the smallest effect that matters, see `Finding`; a shift of .1 standard deviations is .04.
        minimum: rows before any verdict.

    Raises:
        SettingsError: a number is out of its range.
        DataError: there is no profile, or two of one name.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        *,
        run_length: int = 1_000_000,
        block: int = 100,
        window: int = 10_000,
        tolerance: float = 0.04,
        minimum: int = 100,
    ) -> None:
        if not profiles or len({profile.name for profile in profiles}) < len(profiles):
            raise DataError("drift needs at least one reference profile, and names that differ.")
        if min(block, minimum) < 1 or window < block or run_length < window or not 0 <= tolerance < 1:
            raise SettingsError("drift needs 1 <= block <= window <= run_length, minimum >= 1 and 0 <= tolerance < 1.")
        self.run_length, self.block, self.window = run_length, block, window
        self.tolerance, self.minimum = tolerance, minimum
        self.profiles = tuple(profiles)
        self._groups = alike(profiles)
        self._places = {name: (group, i) for group in self._groups for i, name in enumerate(group.names)}
        self._guilty: set[str] = set()
        self.rows = self._waiting = self._observed = 0
        self._window_rows = 0
        self.since: int | None = None

    def count(self, columns: Mapping[str, Any], rows: int) -> dict[str, Counts]:
        """Reduce a batch of columns to counts; a column that is not there is missing in every row."""
        counts: dict[str, Counts] = {}
        for profile in self.profiles:
            if profile.column in columns:
                counts[profile.name] = profile.count(columns[profile.column])
            else:
                counts[profile.name] = np.zeros_like(profile.counts)
                counts[profile.name][-1] = rows
        return counts

    def add(self, counts: Mapping[str, Counts], rows: int) -> bool:
        """Take in counts of `rows` rows, as `count` returns them or a sum of such; return whether a block was full.

        Raises:
            DataError: the counts of a feature are missing, or not of `rows` rows.
        """
        stacked = [group.stack(counts, rows) for group in self._groups]
        for group, more in zip(self._groups, stacked, strict=True):
            group.pending += more
        self.rows += rows
        self._waiting += rows
        if self._waiting < self.block:
            return False
        self._step()
        return True

    def _step(self) -> None:
        for group in self._groups:
            group.step(self._waiting)
        self._observed += self._waiting
        self._window_rows += self._waiting
        self._waiting = 0
        if self.since is not None:
            self._end()
        if self.since is None and self.rows >= self.minimum:
            self._judge()
        if self._window_rows >= self.window:
            self._window_rows = 0
            for group in self._groups:
                group.window[:] = 0

    @property
    def evidence(self) -> float:
        """Return the logarithm of the average sum of evidence, of features whose effect is beyond the tolerance."""
        return self._average([group.evidence.logs[group.effects > self.tolerance] for group in self._groups])

    def _average(self, logs: Sequence[NDArray[np.float64]]) -> float:
        found = np.concatenate(logs)
        return float(np.logaddexp.reduce(found)) - math.log(len(self.profiles)) if len(found) else -math.inf

    def _judge(self) -> None:
        guilty = self._slow() if self._window_rows >= self.window else set()
        # Evidence of all features first: their effects take as long to measure, and matter only beyond the limit.
        limit = math.log(2 * self.run_length)
        total = self._average([group.evidence.logs for group in self._groups])
        if total >= limit and self.evidence >= limit:
            guilty |= self._named()
        if guilty:
            self.since, self._guilty = self.rows, guilty

    def _named(self) -> set[str]:
        """Name drifted features by e-BH; the one with most evidence in any case."""
        logs = {
            name: float(group.evidence.logs[i])
            for name, (group, i) in self._places.items()
            if group.effects[i] > self.tolerance
        }
        names = sorted(logs, key=lambda name: -logs[name])
        limit = math.log(len(self.profiles) / DISCOVERY) + math.log(self._observed)
        count = max((k for k, name in enumerate(names, 1) if logs[name] >= limit - math.log(k)), default=1)
        return set(names[:count])

    def _slow(self) -> set[str]:
        """Name features whose whole window is away from the frozen reference (Dvoretzky, Kiefer, Wolfowitz; Massart)."""
        level = self._window_rows / (2 * self.run_length * len(self.profiles))
        found = set()
        for name, (group, i) in self._places.items():
            reference = group.profiles[i]
            spread = 1 / math.sqrt(self._window_rows) + 1 / math.sqrt(reference.rows)
            margin = math.sqrt(math.log(4 / level) / 2) * spread
            if ks_of_counts(reference.counts, group.window[i]) - margin > self.tolerance:
                found.add(name)
        return found

    def _end(self) -> None:
        if all(self.effect(name) < self.tolerance / 2 for name in self._guilty):
            self.restart()

    def restart(self) -> None:
        """End a drift and forget the evidence, as after a new model or a repaired feed."""
        self.since, self._observed, self._guilty = None, 0, set()
        for group in self._groups:
            group.evidence.restart()

    @property
    def status(self) -> str:
        if self.since is not None:
            return DRIFT
        return OK if self.rows - self._waiting >= self.minimum else FEW

    def report(self) -> Report:
        """Return the verdict and what is known of each feature."""
        findings = [self._find(*self._places[profile.name]) for profile in self.profiles]
        findings.sort(key=lambda item: (item.status != DRIFT, -item.impact, -item.effect))
        evidence = self.evidence / math.log(10)
        return Report(self.status, self.rows, self.since, evidence, tuple(findings))

    def effect(self, name: str) -> float:
        group, i = self._places[name]
        return float(group.effects[i])

    def state(self) -> dict[str, Any]:
        """Return all that was learned, as plain lists and numbers, for `restore` after a restart."""
        own = {name: getattr(self, name) for name in _NUMBERS}
        keys = {profile.name: profile.key for profile in self.profiles}
        groups = [group.state() for group in self._groups]
        return {"keys": keys, "numbers": own, "guilty": sorted(self._guilty), "features": groups}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, bit for bit.

        Raises:
            DataError: it belongs to other profiles.
        """
        if state["keys"] != {profile.name: profile.key for profile in self.profiles}:
            raise DataError("this state of drift belongs to another reference; start anew for a new model.")
        for name in _NUMBERS:
            setattr(self, name, state["numbers"][name])
        self._guilty = set(state["guilty"])
        for group, learned in zip(self._groups, state["features"], strict=True):
            group.restore(learned)

    def _find(self, group: Features, i: int) -> Finding:
        profile, counts, effect = group.profiles[i], group.recent[i, 1].astype(np.float64), float(group.effects[i])
        none = counts.sum() == 0
        status = FEW if self.status == FEW else DRIFT if profile.name in self._guilty else OK
        return Finding(
            profile,
            status,
            effect,
            max(float(group.evidence.logs[i]) / math.log(10), -99.0),
            effect * profile.importance,
            0.0 if none else psi(profile.counts, counts),
            0.0 if none else jensen_shannon(profile.counts, counts),
            counts,
        )
