from __future__ import annotations

import pytest

from automl_core import Learner
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
