"""A fitted CatBoost model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import catboost as cb
import numpy as np

from automl_catboost.flatten import flatten
from automl_catboost.pools import make_pool
from automl_catboost.statistics import Statistics
from automl_catboost.tuples import Tuples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Column, Forest

__all__ = ["CatBoostModel", "save", "to_json"]

ABSENT = -20.0  # raw value of a class that no row had: a probability of 2e-9 at most, as raw values are around 0


@dataclass(frozen=True, slots=True, eq=False)
class CatBoostModel:
    """CatBoost's own model, of which the first `rounds` count; see `automl_core.Staged`.

    Attributes:
        present: the classes that it learned, in order; a class that no row had gets a probability of 0.
        tuples: the combinations of categories that it learned from; None after loading, when nothing knows them.
    """

    booster: cb.CatBoost
    columns: tuple[Column, ...]
    classes: int
    present: tuple[int, ...]
    rounds: int
    curve: tuple[float, ...]
    tuples: Tuples | None
    threads: int = 1

    def __getstate__(self) -> dict[str, Any]:
        if self.tuples is not None and self.tuples.alive:
            Statistics(to_json(self.booster), self.columns, self.tuples).settle()
        return {name: getattr(self, name) for name in self.__slots__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def cut(self, rounds: int) -> CatBoostModel:
        return replace(self, rounds=rounds)

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        said = self.booster.predict(
            make_pool(values, self.columns, threads=self.threads),
            prediction_type="Probability" if self.classes else "RawFormulaVal",
            ntree_end=self.rounds,
            thread_count=self.threads,
        )
        if len(self.present) == self.classes:
            return np.asarray(said, dtype=np.float64)
        full = np.zeros((len(values), self.classes))
        full[:, self.present] = said
        return full

    def export(self) -> Forest | None:
        """Return the model as flat arrays; None where its statistics' combinations are unknown."""
        model = to_json(self.booster)
        tuples = self.tuples
        if tuples is None:
            if model["features_info"].get("ctrs"):
                return None
            tuples = Tuples(None)
        link = {0: "identity", 2: "sigmoid"}.get(self.classes, "softmax")
        forest = flatten(model, self.columns, tuples, rounds=self.rounds, link=link)
        return forest if self.classes <= 2 else _widen(forest, self.present, self.classes)


def _widen(forest: Forest, present: tuple[int, ...], classes: int) -> Forest:
    """Give each class its output."""
    if len(present) == classes:
        return forest
    values, base = np.zeros((len(forest.values), classes)), np.full(classes, ABSENT)
    values[:, present], base[list(present)] = forest.values, forest.base
    return replace(forest, values=values, base=base)


def to_json(booster: cb.CatBoost) -> Any:
    """Return the model in CatBoost's JSON form, decoded."""
    return json.loads(save(booster, "json"))


def save(booster: cb.CatBoost, form: str) -> bytes:
    """Return what `save_model` writes, which it does to files only."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model")
        booster.save_model(str(path), format=form)
        return path.read_bytes()
