"""The questions of a CatBoost model as nodes of a flat forest ask them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl_catboost.hashing import MISSING
from automl_catboost.statistics import Statistics
from automl_catboost.tuples import find_code

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_catboost.splits import Splits
    from automl_core import Column, Derived

__all__ = ["Questions", "translate"]


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """What a node of `automl_core.Forest` holds for each question; one of a category goes left on "yes"."""

    feature: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    category: NDArray[np.int32]
    words: NDArray[np.int32]
    bits: NDArray[np.uint32]
    derived: tuple[Derived, ...]


def translate(splits: Splits, used: NDArray[np.int64], columns: Sequence[Column], statistics: Statistics) -> Questions:
    """Translate the questions `used`; the others stay empty.

    Raises:
        ValueError: a statistic or a category cannot be told from the model.
    """
    feature = splits.column.copy()
    category, words = np.full(len(feature), -1, dtype=np.int32), np.zeros(len(feature), dtype=np.int32)
    missing_left = ~splits.missing
    bits: list[NDArray[np.uint32]] = []
    size = 0
    for split in used[splits.one[used]]:
        code = find_code(int(splits.equals[split]), columns[splits.column[split]].categories)
        missing_left[split] = code == MISSING
        members = np.zeros(max(code, 0) // 32 + 1, dtype=np.uint32)
        if code != MISSING:
            members[-1] = 1 << code % 32
        category[split], words[split] = size, len(members)
        bits.append(members)
        size += len(members)
    derived: list[Derived] = []
    asked = splits.statistic[used]
    for statistic in np.unique(asked[asked >= 0]):
        mine = used[asked == statistic]
        feature[mine] = len(columns) + len(derived)
        derived.append(statistics.look_up(int(statistic), splits.border[mine]))
    return Questions(
        feature=feature,
        missing_left=missing_left,
        category=category,
        words=words,
        bits=np.concatenate(bits) if bits else np.zeros(0, dtype=np.uint32),
        derived=tuple(derived),
    )
