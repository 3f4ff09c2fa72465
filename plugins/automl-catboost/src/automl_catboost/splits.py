"""The questions that the trees of a CatBoost model ask, from its JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Splits", "read_splits"]


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """All questions of a model; question s is the one that its trees name by `split_index`.

    Attributes:
        column: int32 (questions,), the encoded column that is compared; -1 for a statistic.
        statistic: int32 (questions,), number of the statistic in `features_info.ctrs`; -1 for a column.
        border: float32 (questions,): "yes" where the value is above it; 0 for a question of one category.
        equals: int64 (questions,): hash of the one category that is "yes", as CatBoost's signed number.
        one: bool (questions,): whether it asks for one category.
        missing: bool (questions,): the answer for a missing number.
    """

    column: NDArray[np.int32]
    statistic: NDArray[np.int32]
    border: NDArray[np.float32]
    equals: NDArray[np.int64]
    one: NDArray[np.bool_]
    missing: NDArray[np.bool_]


def read_splits(info: Mapping[str, Any]) -> Splits:
    """Read `features_info`: borders of numbers come first, then single categories, then borders of statistics."""
    rows: list[tuple[int, int, float, int, bool, bool]] = []
    for feature in info.get("float_features", ()):
        column, above = feature["flat_feature_index"], feature["nan_value_treatment"] == "AsTrue"
        rows += [(column, -1, border, 0, False, above) for border in feature["borders"] or ()]
    for feature in info.get("categorical_features", ()):
        column = feature["flat_feature_index"]
        rows += [(column, -1, 0.0, value, True, False) for value in feature.get("values", ())]
    for number, ctr in enumerate(info.get("ctrs", ())):
        rows += [(-1, number, border, 0, False, False) for border in ctr["borders"]]
    if not rows:
        rows = [(0, -1, 0.0, 0, False, False)]  # trees of a leaf alone still look their question up
    answers = list(zip(*rows, strict=True))
    kinds = (np.int32, np.int32, np.float32, np.int64, np.bool_, np.bool_)
    return Splits(*(np.array(answer, dtype=kind) for answer, kind in zip(answers, kinds, strict=True)))
