from __future__ import annotations

import pytest

from automl_catboost.learner import CatBoostLearner
from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance


class TestCatBoost(LearnerConformance):
    params = {"learning_rate": 0.3, "depth": 4}
    honours_monotone = True

    @pytest.fixture
    def learner(self) -> Learner:
        return CatBoostLearner()


class TestPlugin(PluginConformance):
    plugin = "catboost"
