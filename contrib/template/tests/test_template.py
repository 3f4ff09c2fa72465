from __future__ import annotations

import pytest

from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance
from automl_template.learner import Linear


class TestLinear(LearnerConformance):
    @pytest.fixture
    def learner(self) -> Learner:
        return Linear()


class TestPlugin(PluginConformance):
    plugin = "template"
