from __future__ import annotations

import numpy as np
import pytest

from automl_core import Column, Data, Exports, Job, Learner, Plugins
from automl_core.settings import load_settings
from automl_core.testing import LearnerConformance, PluginConformance
from automl_sklearn.boosting import HistGradientBoosting
from automl_sklearn.forest import ExtraTrees, RandomForest
from automl_sklearn.linear import Linear
from automl_sklearn.neighbors import KNearestNeighbors
from automl_sklearn.perceptron import Perceptron


class TestLinear(LearnerConformance):
    @pytest.fixture
    def learner(self) -> Learner:
        return Linear()


class TestRandomForest(LearnerConformance):
    params = {"min_samples_leaf": 5}

    @pytest.fixture
    def learner(self) -> Learner:
        return RandomForest(trees=20)


class TestExtraTrees(LearnerConformance):
    params = {"min_samples_leaf": 5}

    @pytest.fixture
    def learner(self) -> Learner:
        return ExtraTrees(trees=20)


class TestHistGradientBoosting(LearnerConformance):
    params = {"learning_rate": 0.3, "max_leaf_nodes": 6, "min_samples_leaf": 5}
    honours_monotone = True

    @pytest.fixture
    def learner(self) -> Learner:
        return HistGradientBoosting()


class TestKNearestNeighbors(LearnerConformance):
    @pytest.fixture
    def learner(self) -> Learner:
        return KNearestNeighbors()


class TestPerceptron(LearnerConformance):
    @pytest.fixture
    def learner(self) -> Learner:
        return Perceptron()


class TestPlugin(PluginConformance):
    plugin = "sklearn"


def test_models_of_all_that_the_name_of_the_plugin_selects_predict_without_it() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3)).astype(np.float32)
    data = Data(values, (Column("a"), Column("b"), Column("c")), (values[:, 0] > 0).astype(np.float64))
    learners = Plugins(load_settings()).build_all("learner", ["sklearn"])
    assert "sklearn.linear" in learners
    for name, learner in learners.items():
        model = learner.fit(Job(data, np.arange(200), None, "binary", 2, {}))
        assert isinstance(model, Exports), name
        assert model.export() is not None, name
