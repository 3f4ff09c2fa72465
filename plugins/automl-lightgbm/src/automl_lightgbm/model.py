"""A fitted booster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import lightgbm as lgb
import numpy as np

from automl_lightgbm.flatten import flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Forest

__all__ = ["LightGBMModel"]


@dataclass(frozen=True, slots=True, eq=False)
class LightGBMModel:
    """A booster as LightGBM's own text, of which the first `rounds` count; see `automl_core.Staged`."""

    text: str
    classes: int
    rounds: int
    curve: tuple[float, ...]
    threads: int = 1
    _loaded: list[lgb.Booster] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {n: getattr(self, n) for n in ("text", "classes", "rounds", "curve", "threads")} | {"_loaded": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def _booster(self) -> lgb.Booster:
        if not self._loaded:
            self._loaded.append(lgb.Booster(model_str=self.text))
        return self._loaded[0]

    def cut(self, rounds: int) -> LightGBMModel:
        return replace(self, rounds=rounds)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        said = np.asarray(
            self._booster.predict(values, num_iteration=self.rounds, num_threads=self.threads), dtype=np.float64
        )
        return np.column_stack([1 - said, said]) if self.classes == 2 else said

    def export(self) -> Forest:
        return flatten(self.text, self.rounds, self.classes)
