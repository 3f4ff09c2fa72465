from __future__ import annotations

import pytest

from automl_core import Learner
from automl_core.testing import LearnerConformance, PluginConformance

pytest.importorskip("torch")
pytest.importorskip("automl_torch")
from automl_torch.learner import Perceptron


class TestPerceptron(LearnerConformance):
    params = {"epochs": 15, "width": 128, "learning_rate": 0.05}

    @pytest.fixture
    def learner(self) -> Learner:
        return Perceptron()


class TestPlugin(PluginConformance):
    plugin = "torch"
