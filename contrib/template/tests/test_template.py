from __future__ import annotations

import pytest

from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance
from automl_template.learner import Centres


class TestCentres(LearnerConformance):
    @pytest.fixture
    def learner(self) -> Learner:
        return Centres()


class TestPlugin(PluginConformance):
    plugin = "template"
