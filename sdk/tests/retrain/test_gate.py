"""Whether a challenger is better: by chance at the level asked for, by skill whenever there are enough rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl.retrain.gate import compare
from automl_core import DataError


class Noisy:
    """Knows the truth `x > 0` but for noise of its own."""

    def __init__(
        self, noise: float, seed: int, *, task: str = "binary", classes: tuple[str, ...] = ("no", "yes")
    ) -> None:
        self.metric = ""
        self.noise, self.random, self.task = noise, np.random.default_rng(seed), task
        self.classes_ = np.array(classes)

    def predict_proba(self, inputs: dict[str, Any]) -> np.ndarray:
        values = np.asarray(inputs["x"]) + self.noise * np.random.default_rng(len(inputs["x"])).normal(
            size=len(inputs["x"])
        )
        yes = 1 / (1 + np.exp(-3 * (values + self.random.normal(size=len(values)) * self.noise)))
        return np.column_stack([1 - yes, yes])

    def predict(self, inputs: dict[str, Any]) -> np.ndarray:
        if self.task == "regression":
            return np.asarray(inputs["x"]) + self.noise
        return self.classes_[self.predict_proba(inputs).argmax(axis=1)]


def rows(count: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    x = np.random.default_rng(seed).normal(size=count)
    return {"x": x.tolist()}, np.where(x > 0, "yes", "no").tolist()


def test_challenger_that_is_as_good_passes_no_more_often_than_the_level() -> None:
    passed = 0
    for seed in range(200):
        inputs, truths = rows(150, seed)
        passed += compare(Noisy(0.5, seed), Noisy(0.5, seed + 1000), inputs, truths, seed=seed).p <= 0.05
    assert passed <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5


def test_better_challenger_passes_and_a_worse_one_does_not() -> None:
    inputs, truths = rows(500, 0)
    found = compare(Noisy(1.0, 1), Noisy(0.1, 2), inputs, truths)
    assert found.p < 0.001
    assert found.interval[0] > 0
    assert found.challenger > found.champion
    assert found.worse_by < 0
    assert compare(Noisy(0.1, 1), Noisy(1.0, 2), inputs, truths).p > 0.99


def test_same_model_is_never_better() -> None:
    inputs, truths = rows(50, 0)
    model = Noisy(0.0, 1)
    assert compare(model, model, inputs, truths).p == 1.0


def test_class_that_a_model_does_not_know_counts_against_it() -> None:
    inputs, truths = rows(100, 0)
    knowing = Noisy(0.1, 1, classes=("no", "maybe"))
    found = compare(Noisy(0.1, 1), knowing, inputs, ["maybe" if t == "yes" else t for t in truths])
    assert found.p < 0.001


def test_numbers_are_compared_by_squared_error() -> None:
    inputs = {"x": np.arange(100.0).tolist()}
    found = compare(
        Noisy(2.0, 0, task="regression"), Noisy(1.0, 0, task="regression"), inputs, np.arange(100.0).tolist()
    )
    assert (found.metric, found.gain, found.champion, found.worse_by) == ("rmse", 3.0, 2.0, -1.0)


def test_models_of_different_tasks_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be compared"):
        compare(Noisy(0, 0), Noisy(0, 0, task="regression"), {"x": [1.0]}, ["yes"])


def test_no_row_is_refused() -> None:
    with pytest.raises(DataError, match="no labelled row"):
        compare(Noisy(0, 0), Noisy(0, 0), {"x": []}, [])
