from __future__ import annotations

import pytest

from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance
from automl_lightgbm.learner import LightGBMLearner


class TestLightGBM(LearnerConformance):
    params = {"learning_rate": 0.3, "num_leaves": 6, "min_data_in_leaf": 5}
    honours_monotone = True

    @pytest.fixture
    def learner(self) -> Learner:
        return LightGBMLearner()


class TestPlugin(PluginConformance):
    plugin = "lightgbm"
