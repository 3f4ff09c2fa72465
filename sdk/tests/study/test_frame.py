"""What a part predicts for the rows that judge it."""

from __future__ import annotations

import numpy as np
import pytest

from automl.study import frame as module
from automl.study.folds import make_splits
from automl.study.frame import Frame, Here, Order, fit_part
from automl.study.views import Recipe
from automl_core import MULTICLASS, Column, Data

forest = pytest.importorskip("automl_sklearn.forest")


@pytest.mark.parametrize(("seconds", "own"), [(None, 1), (60.0, 0)])
def test_slow_predictions_are_made_by_the_arrays_of_the_model_with_a_clock_alone(monkeypatch, seconds, own):
    random = np.random.default_rng(0)
    values = random.normal(size=(600, 4)).astype(np.float32)
    target = (values[:, 0] > 0).astype(np.float64) + (values[:, 1] > 0)
    data = Data(values, tuple(Column(f"x{i}") for i in range(4)), target)
    splits = make_splits(target, classes=3, folds=3, seed=0, holdout=0.2)
    frame = Frame(data, splits, MULTICLASS, 3, 0)
    learner = forest.ExtraTrees()
    monkeypatch.setattr(module, "LONG", -1.0)
    asked: list[int] = []
    kind = type(fit_part(Here(frame), Order(0, 0, learner, {}, "base", Recipe(tuple(range(4))), 1)).model)
    predict = kind.predict
    monkeypatch.setattr(kind, "predict", lambda self, rows: (asked.append(len(rows)), predict(self, rows))[1])
    fitted = fit_part(Here(frame), Order(0, 0, learner, {}, "base", Recipe(tuple(range(4))), 1, seconds=seconds))
    valid = splits[0].valid
    assert asked.count(len(valid)) == own
    np.testing.assert_allclose(fitted.prediction, predict(fitted.model, values[valid]), atol=1e-6)
