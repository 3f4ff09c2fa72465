from __future__ import annotations

import pytest

from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance
from automl_xgboost.learner import XGBoostLearner


class TestXGBoost(LearnerConformance):
    params = {"learning_rate": 0.3, "max_depth": 4}
    honours_monotone = True

    @pytest.fixture
    def learner(self) -> Learner:
        return XGBoostLearner()


class TestPlugin(PluginConformance):
    plugin = "xgboost"
