from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.neighbors import KNeighborsRegressor

from automl_core import Exports, Portable
from automl_sklearn.forest import RandomForest
from automl_sklearn.neighbors import MAX_ROWS, KNearestNeighbors

from .tables import job, mixed, numbers


def test_uniform_mean_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 3))
    data = numbers(values, values[:, 0])
    model = KNearestNeighbors().fit(job(data, "regression", params={"neighbors": 5, "weighting": "uniform"}))
    reference = KNeighborsRegressor(5).fit(model.points, data.target[:210])
    assert np.allclose(model.predict(data.values), reference.predict(_inputs(model, data.values)))


def _inputs(model: object, values: np.ndarray) -> np.ndarray:
    return model.design.apply(values).dense  # type: ignore[attr-defined, no-any-return]


def test_no_class_has_probability_zero() -> None:
    values, target = load_wine(return_X_y=True)
    data = numbers(values, target)
    predicted = KNearestNeighbors().fit(job(data, "multiclass", classes=3, share=1.0)).predict(data.values)
    assert predicted.min() > 0


def test_rows_are_bounded() -> None:
    rng = np.random.default_rng(0)
    data = numbers(rng.normal(size=(MAX_ROWS + 5000, 2)), rng.normal(size=MAX_ROWS + 5000))
    assert len(KNearestNeighbors().fit(job(data, "regression", share=1.0)).points) == MAX_ROWS


def test_model_is_stored_without_pickle_and_not_exported() -> None:
    learner = KNearestNeighbors()
    data = mixed(levels=30)
    model = learner.fit(job(data, "regression"))
    assert isinstance(learner, Portable)
    assert not isinstance(model, Exports)
    assert np.array_equal(learner.load(learner.dump(model)).predict(data.values), model.predict(data.values))


def test_truncated_model_is_a_value_error() -> None:
    learner = KNearestNeighbors()
    stored = learner.dump(learner.fit(job(mixed(levels=30), "regression")))
    with pytest.raises(ValueError, match="no model"):
        learner.load(stored[: len(stored) // 2])


def test_model_of_another_learner_is_refused() -> None:
    other = RandomForest(trees=2).fit(job(mixed(levels=30), "regression"))
    with pytest.raises(TypeError, match="ForestModel"):
        KNearestNeighbors().dump(other)
