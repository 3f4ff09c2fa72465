"""A fitted booster."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost as xgb

from automl_xgboost.flatten import flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Forest

__all__ = ["XGBoostModel"]


@dataclass(frozen=True, slots=True, eq=False)
class XGBoostModel:
    """A booster in XGBoost's own format, of which the first `rounds` count; see `automl_core.Staged`."""

    raw: bytes
    types: tuple[str, ...]
    classes: int
    rounds: int
    curve: tuple[float, ...]
    threads: int = 1
    _loaded: list[xgb.Booster] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        names = ("raw", "types", "classes", "rounds", "curve", "threads")
        return {name: getattr(self, name) for name in names} | {"_loaded": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    @property
    def _booster(self) -> xgb.Booster:
        if not self._loaded:
            self._loaded.append(xgb.Booster({"nthread": self.threads}, model_file=bytearray(self.raw)))
        return self._loaded[0]

    def cut(self, rounds: int) -> XGBoostModel:
        return replace(self, rounds=rounds)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        matrix = xgb.DMatrix(values, feature_types=list(self.types), enable_categorical=True, nthread=self.threads)
        said = np.asarray(self._booster.predict(matrix, iteration_range=(0, self.rounds)), dtype=np.float64)
        if self.classes == 2:
            return np.column_stack([1 - said, said])
        return np.asarray(said / said.sum(axis=1, keepdims=True)) if self.classes else said

    def export(self) -> Forest:
        return flatten(bytes(self._booster.save_raw("json")), self.rounds, self.classes)
