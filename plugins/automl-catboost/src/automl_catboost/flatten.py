"""CatBoost's JSON form as flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_catboost.questions import translate
from automl_catboost.splits import read_splits
from automl_catboost.statistics import Statistics
from automl_catboost.trees import read_oblivious, read_others
from automl_core import Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_catboost.tuples import Tuples
    from automl_core import Column

__all__ = ["flatten"]


def flatten(model: Mapping[str, Any], columns: Sequence[Column], tuples: Tuples, *, rounds: int, link: str) -> Forest:
    """Return the first `rounds` trees of a model in CatBoost's JSON form, with the outputs that it has.

    Oblivious trees keep their shape: all nodes of a level are alike, and nodes stand in heap order.

    Raises:
        ValueError: the model has questions that cannot be told from it.
    """
    splits = read_splits(model["features_info"])
    scale, bias = model["scale_and_bias"]
    if "oblivious_trees" in model:
        trees = read_oblivious(model["oblivious_trees"][:rounds], splits.one, len(bias))
    else:
        trees = read_others(model["trees"][:rounds], len(bias))
    inner, asked = trees.split >= 0, np.maximum(trees.split, 0)
    used = np.unique(trees.split[inner])
    questions = translate(splits, used, columns, Statistics(model, columns, tuples))
    values, row = _share(trees.values)
    leaf = row[np.where(inner, 0, trees.leaf)]
    first_is_yes = splits.one[asked]
    return Forest(
        columns=len(columns),
        feature=np.where(inner, questions.feature[asked], -1).astype(np.int32),
        threshold=np.where(inner, splits.border[asked], 0).astype(np.float32),
        left=np.where(inner, np.where(first_is_yes, trees.yes, trees.no), leaf).astype(np.int32),
        right=np.where(inner, np.where(first_is_yes, trees.no, trees.yes), 0).astype(np.int32),
        missing_left=inner & questions.missing_left[asked],
        category=np.where(inner, questions.category[asked], -1).astype(np.int32),
        words=np.where(inner, questions.words[asked], 0).astype(np.int32),
        bits=questions.bits,
        values=values,
        roots=trees.roots,
        output=np.zeros(len(trees.roots), dtype=np.int32),
        base=np.array(bias, dtype=np.float64),
        link=link,
        scale=float(scale),
        derived=questions.derived,
        cover=trees.cover,
    )


def _share(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct rows, and for each row which of them it is."""
    if values.shape[1] == 1:
        distinct, row = np.unique(values[:, 0], return_inverse=True)
        return distinct[:, None], row
    distinct, row = np.unique(values, axis=0, return_inverse=True)
    return distinct, row.reshape(-1)
