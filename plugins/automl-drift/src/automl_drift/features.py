"""What is known of features that are computed together: evidence, recent rows, and how far those are away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_core import DataError
from automl_drift.evidence import Evidence
from automl_drift.profile import Counts, Profile

__all__ = ["Features", "alike"]

FADING = np.array([0.0, 0.75, 0.95])  # windows of 1, 7 and 39 blocks in effect


class Features:
    """Features whose profiles are of one kind with the same number of counts; arrays have a row for each.

    Attributes:
        recent: float32, shape (features, windows, bins): rows that fade, one window per factor of `FADING`.
        window: int64, shape (features, bins): rows since the last look at slow drift.
        pending: likewise, of the block that is not full yet.
    """

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self.profiles = tuple(profiles)
        self.names = [profile.name for profile in profiles]
        self.evidence = Evidence(profiles)
        shape = len(profiles), len(profiles[0].counts)
        self.recent = np.zeros((shape[0], len(FADING), shape[1]), dtype=np.float32)
        self.weights = np.zeros((len(FADING), 2))
        self.window, self.pending = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        self._effects: NDArray[np.float64] | None = np.zeros(len(profiles))

    def stack(self, counts: Mapping[str, Counts], rows: int) -> Counts:
        """Return counts of `rows` rows, shape (features, bins).

        Raises:
            DataError: those of a feature are missing, or not of `rows` rows on its bins.
        """
        try:
            found = np.stack([counts[name] for name in self.names])
            wrong = int((found.sum(axis=1) != rows).argmax()) if found.shape == self.window.shape else 0
            if found.shape == self.window.shape and found[wrong].sum() == rows:
                return found
        except (KeyError, ValueError):
            size = self.window.shape[1:]
            wrong = next(i for i, name in enumerate(self.names) if name not in counts or counts[name].shape != size)
        raise DataError(
            f"the counts of {self.names[wrong]!r} are not those of {rows} rows on the bins of its reference."
        )

    def step(self, rows: int) -> None:
        """Take in the pending block of `rows` rows."""
        counts, self.pending = self.pending, np.zeros_like(self.pending)
        self.evidence.add(counts, rows)
        self.window += counts
        self.recent = (FADING[:, None] * self.recent + counts[:, None, :]).astype(np.float32)
        self.weights = np.column_stack([FADING * self.weights[:, 0] + rows, FADING**2 * self.weights[:, 1] + rows])
        self._effects = None

    @property
    def effects(self) -> NDArray[np.float64]:
        """Return `Finding.effect` of each, measured once per block and only where it is asked for."""
        if self._effects is None:
            self._effects = self._measure() if self.weights[0, 0] else np.zeros(len(self.names))
        return self._effects

    def _measure(self) -> NDArray[np.float64]:
        p = np.stack([profile.counts / profile.rows for profile in self.profiles])[:, None, :]
        sizes = np.array([profile.rows for profile in self.profiles])[:, None, None]
        total, squares = self.weights[:, :1], self.weights[:, 1:]
        spread = squares / total**2 + 1 / sizes
        change = self.recent / total - p
        special = p[..., -2:]
        rates = change[..., -2:] - np.sqrt(special * (1 - special) * spread) - np.sqrt(spread) / 10
        if self.profiles[0].edges is None:
            q = p + change
            noise = np.maximum(p, q) * (1 - np.minimum(p, q)) * spread * (2 / math.pi)
            size = (np.abs(change) - np.sqrt(noise)).sum(axis=-1) / 2
        else:
            size = np.abs(np.cumsum(change, axis=-1)).max(axis=-1) - np.sqrt(spread[..., 0] / 4)
        # A rate of missing or unseen values counts twice: 2 % of them matter as much as 4 % elsewhere.
        return np.asarray(np.maximum(0.0, np.maximum(size.max(axis=1), 2 * rates.max(axis=(1, 2)))))

    def state(self) -> dict[str, Any]:
        """Return all that was learned, as plain lists and numbers."""
        arrays = {name: getattr(self.evidence, name).tolist() for name in ("pool", "sums", "logs")}
        return arrays | {name: getattr(self, name).tolist() for name in ("recent", "weights", "window", "pending")}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.evidence.pool = np.array(state["pool"], dtype=np.int64)
        self.evidence.sums, self.evidence.logs = np.array(state["sums"]), np.array(state["logs"])
        self.recent, self.weights = np.array(state["recent"], dtype=np.float32), np.array(state["weights"])
        self.window, self.pending = (np.array(state[name], dtype=np.int64) for name in ("window", "pending"))
        self._effects = None


def alike(profiles: Iterable[Profile]) -> list[Features]:
    """Put profiles together that can be computed together."""
    groups: dict[tuple[bool, int], list[Profile]] = {}
    for profile in profiles:
        groups.setdefault((profile.edges is None, len(profile.counts)), []).append(profile)
    return [Features(group) for group in groups.values()]
