"""A fitted booster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from automl_lightgbm.binned import Target
from automl_lightgbm.flatten import flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Forest

__all__ = ["LightGBMModel"]


@dataclass(frozen=True, slots=True, eq=False)
class LightGBMModel:
    """A booster as LightGBM's own text, of which the first `rounds` count; see `automl_core.Staged`.

    Attributes:
        classes: 0 for a number, which the booster tells as `target` says.
        curve: loss on the valid rows by round; empty where there were none, or where an earlier model was resumed.
    """

    text: str = field(repr=False)
    classes: int
    rounds: int
    curve: tuple[float, ...] = field(repr=False)
    target: Target
    threads: int = 1
    _loaded: list[lgb.Booster] = field(default_factory=list, repr=False)  # of one item, shared with cut models

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.text, self.classes, self.rounds, self.curve, self.target, self.threads)

    @property
    def booster(self) -> lgb.Booster:
        """All rounds, read from the text at first use."""
        if not self._loaded:
            self._loaded.append(lgb.Booster(model_str=self.text))
        return self._loaded[0]

    def cut(self, rounds: int) -> LightGBMModel:
        return replace(self, rounds=rounds)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        said = self.booster.predict(values, num_iteration=self.rounds, num_threads=self.threads)
        known: NDArray[np.float64] = np.asarray(said, dtype=np.float64)
        if self.classes == 2:
            return np.column_stack([1 - known, known])
        return known if self.classes else self.target.told(known)

    def export(self) -> Forest:
        return flatten(self.text, self.rounds, self.classes, self.target)
