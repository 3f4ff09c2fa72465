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
from automl_drift.evidence import Evidence
from automl_drift.profile import Counts, Profile

__all__ = ["DRIFT", "FEW", "OK", "Finding", "Report", "Watch"]

OK, DRIFT, FEW = "ok", "drift", "not enough data"
FADING = np.array([0.0, 0.75, 0.95])  # windows of 1, 7 and 39 blocks in effect
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


_NUMBERS = ("rows", "since", "_waiting", "_observed", "_window_rows")


class _Feature:
    """One feature's evidence and its recent rows."""

    def __init__(self, profile: Profile) -> None:
        self.evidence = Evidence(profile)
        self._shares = profile.counts / profile.rows
        self.recent = np.zeros((len(FADING), len(profile.counts)))
        self.weights = np.zeros((len(FADING), 2))
        self.window = np.zeros(len(profile.counts), dtype=np.int64)
        self.guilty = False
        self._effect: float | None = 0.0

    def add(self, counts: Counts) -> None:
        self.evidence.add(counts)
        self.window += counts
        rows = counts.sum()
        self.recent = FADING[:, None] * self.recent + counts
        self.weights = np.column_stack([FADING * self.weights[:, 0] + rows, FADING**2 * self.weights[:, 1] + rows])
        self._effect = None

    @property
    def effect(self) -> float:
        """Return `Finding.effect`, measured once per block and only where it is asked for."""
        if self._effect is None:
            self._effect = self._measure() if self.weights[0, 0] else 0.0
        return self._effect

    def state(self) -> dict[str, Any]:
        evidence = {"pool": self.evidence.pool.tolist(), "sums": self.evidence.sums.tolist(), "log": self.evidence.log}
        arrays = {name: getattr(self, name).tolist() for name in ("recent", "weights", "window")}
        return {**evidence, **arrays, "guilty": self.guilty}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.evidence.pool, self.evidence.log = np.array(state["pool"], dtype=np.int64), state["log"]
        self.evidence.sums = np.array(state["sums"])
        self.recent, self.weights = np.array(state["recent"]), np.array(state["weights"])
        self.window = np.array(state["window"], dtype=np.int64)
        self.guilty, self._effect = state["guilty"], None

    def _measure(self) -> float:
        profile, p = self.evidence.profile, self._shares
        total, squares = self.weights[:, :1], self.weights[:, 1:]
        spread = squares / total**2 + 1 / profile.rows
        change = self.recent / total - p
        special = p[-2:]
        rates = change[:, -2:] - np.sqrt(special * (1 - special) * spread) - np.sqrt(spread) / 10
        if profile.edges is None:
            q = p + change
            noise = np.maximum(p, q) * (1 - np.minimum(p, q)) * spread * (2 / math.pi)
            size = (np.abs(change) - np.sqrt(noise)).sum(axis=1) / 2
        else:
            size = np.abs(np.cumsum(change, axis=1)).max(axis=1) - np.sqrt(spread[:, 0] / 4)
        # A rate of missing or unseen values counts twice: 2 % of them matter as much as 4 % elsewhere.
        return max(0.0, float(size.max()), 2 * float(rates.max()))


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
        self._features = {profile.name: _Feature(profile) for profile in profiles}
        self._pending = {profile.name: np.zeros_like(profile.counts) for profile in profiles}
        self.rows = self._waiting = self._observed = 0
        self._window_rows = 0
        self.since: int | None = None

    def count(self, columns: Mapping[str, Any], rows: int) -> dict[str, Counts]:
        """Reduce a batch of columns to counts; a column that is not there is missing in every row."""
        counts: dict[str, Counts] = {}
        for profile in self.profiles:
            if profile.name in columns:
                counts[profile.name] = profile.count(columns[profile.name])
            else:
                counts[profile.name] = np.zeros_like(profile.counts)
                counts[profile.name][-1] = rows
        return counts

    def add(self, counts: Mapping[str, Counts], rows: int) -> bool:
        """Take in counts of `rows` rows, as `count` returns them or a sum of such; return whether a block was full.

        Raises:
            DataError: the counts of a feature are missing, or not of `rows` rows.
        """
        for name, pending in self._pending.items():
            if name not in counts or counts[name].shape != pending.shape or counts[name].sum() != rows:
                raise DataError(f"the counts of {name!r} are not those of {rows} rows on the bins of its reference.")
        for name, pending in self._pending.items():
            pending += counts[name]
        self.rows += rows
        self._waiting += rows
        if self._waiting < self.block:
            return False
        self._step()
        return True

    def _step(self) -> None:
        for name, feature in self._features.items():
            feature.add(self._pending[name])
            self._pending[name][:] = 0
        self._observed += self._waiting
        self._window_rows += self._waiting
        self._waiting = 0
        if self.since is not None:
            self._end()
        if self.since is None and self.rows >= self.minimum:
            self._judge()
        if self._window_rows >= self.window:
            self._window_rows = 0
            for feature in self._features.values():
                feature.window[:] = 0

    @property
    def evidence(self) -> float:
        """Return the logarithm of the average sum of evidence, of features whose effect is beyond the tolerance."""
        logs = [f.evidence.log for f in self._features.values() if f.effect > self.tolerance]
        return float(np.logaddexp.reduce(logs) - math.log(len(self._features))) if logs else -math.inf

    def _judge(self) -> None:
        guilty = self._slow() if self._window_rows >= self.window else set()
        # Evidence of all features first: their effects take as long to measure, and matter only beyond the limit.
        limit = math.log(2 * self.run_length)
        total = np.logaddexp.reduce([f.evidence.log for f in self._features.values()]) - math.log(len(self._features))
        if total >= limit and self.evidence >= limit:
            guilty |= self._named()
        if guilty:
            self.since = self.rows
            for name in guilty:
                self._features[name].guilty = True

    def _named(self) -> set[str]:
        """Name drifted features by e-BH; the one with most evidence in any case."""
        names = [name for name, f in self._features.items() if f.effect > self.tolerance]
        names.sort(key=lambda name: -self._features[name].evidence.log)
        logs = [self._features[name].evidence.log - math.log(self._observed) for name in names]
        limit = math.log(len(self._features) / DISCOVERY)
        count = max((k for k, log in enumerate(logs, 1) if log >= limit - math.log(k)), default=1)
        return set(names[:count])

    def _slow(self) -> set[str]:
        """Name features whose whole window is away from the frozen reference (Dvoretzky, Kiefer, Wolfowitz; Massart)."""
        level = self._window_rows / (2 * self.run_length * len(self._features))
        found = set()
        for name, feature in self._features.items():
            reference = feature.evidence.profile
            spread = 1 / math.sqrt(self._window_rows) + 1 / math.sqrt(reference.rows)
            margin = math.sqrt(math.log(4 / level) / 2) * spread
            if ks_of_counts(reference.counts, feature.window) - margin > self.tolerance:
                found.add(name)
        return found

    def _end(self) -> None:
        guilty = [f for f in self._features.values() if f.guilty]
        if all(feature.effect < self.tolerance / 2 for feature in guilty):
            self.restart()

    def restart(self) -> None:
        """End a drift and forget the evidence, as after a new model or a repaired feed."""
        self.since, self._observed = None, 0
        for feature in self._features.values():
            feature.guilty = False
            feature.evidence.restart()

    @property
    def status(self) -> str:
        if self.since is not None:
            return DRIFT
        return OK if self.rows - self._waiting >= self.minimum else FEW

    def report(self) -> Report:
        """Return the verdict and what is known of each feature."""
        findings = [self._find(feature) for feature in self._features.values()]
        findings.sort(key=lambda item: (item.status != DRIFT, -item.impact, -item.effect))
        evidence = self.evidence / math.log(10)
        return Report(self.status, self.rows, self.since, evidence, tuple(findings))

    def effect(self, name: str) -> float:
        return self._features[name].effect

    def state(self) -> dict[str, Any]:
        """Return all that was learned, as plain lists and numbers, for `restore` after a restart."""
        own = {name: getattr(self, name) for name in _NUMBERS}
        features = {name: feature.state() for name, feature in self._features.items()}
        pending = {name: counts.tolist() for name, counts in self._pending.items()}
        keys = {profile.name: profile.key for profile in self.profiles}
        return {"keys": keys, "numbers": own, "features": features, "pending": pending}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken, bit for bit.

        Raises:
            DataError: it belongs to other profiles.
        """
        if state["keys"] != {profile.name: profile.key for profile in self.profiles}:
            raise DataError("this state of drift belongs to another reference; start anew for a new model.")
        for name in _NUMBERS:
            setattr(self, name, state["numbers"][name])
        for name, feature in self._features.items():
            feature.restore(state["features"][name])
            self._pending[name] = np.array(state["pending"][name], dtype=np.int64)

    def _find(self, feature: _Feature) -> Finding:
        profile = feature.evidence.profile
        counts = feature.recent[1]
        none = counts.sum() == 0
        status = FEW if self.status == FEW else DRIFT if feature.guilty else OK
        return Finding(
            profile,
            status,
            feature.effect,
            max(feature.evidence.log / math.log(10), -99.0),
            feature.effect * profile.importance,
            0.0 if none else psi(profile.counts, counts),
            0.0 if none else jensen_shannon(profile.counts, counts),
            counts.copy(),
        )
