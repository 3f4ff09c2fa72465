"""A fitted part that came back from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor import Part, Predictor
from automl_core import Flat, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RestoredModel"]


@dataclass(slots=True, eq=False)
class RestoredModel:
    """A flat model that predicts encoded rows, and can be cut back where its trees are in rounds.

    Attributes:
        flat: all rounds that were fitted.
    """

    flat: Flat
    curve: Sequence[float] | None
    rounds: int | None

    def cut(self, rounds: int) -> RestoredModel:
        return replace(self, rounds=rounds)

    def export(self) -> Flat:
        if not isinstance(self.flat, Forest) or not self.curve or self.rounds is None:
            return self.flat
        each = len(self.flat.roots) // len(self.curve)
        return replace(
            self.flat, roots=self.flat.roots[: self.rounds * each], output=self.flat.output[: self.rounds * each]
        )

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        flat = self.export()
        classes = 0 if flat.link in ("identity", "exp") else 2 if flat.link == "sigmoid" else len(flat.base)
        return Predictor([Part(flat, 1.0)], classes=classes).predict(values)
