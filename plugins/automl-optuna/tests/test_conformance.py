from __future__ import annotations

import pytest

from automl_core import Search
from automl_core.testing import PluginConformance, SearchConformance
from automl_optuna.search import OptunaSearch


class TestPlugin(PluginConformance):
    plugin = "optuna"


class TestTpe(SearchConformance):
    model_based = True
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return OptunaSearch("tpe")


class TestRandom(SearchConformance):
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        return OptunaSearch("random")


class TestCmaes(SearchConformance):
    model_based = True
    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        pytest.importorskip("cmaes")
        return OptunaSearch("cmaes", startup=1)


class TestGaussianProcess(SearchConformance):
    """With a late start: one proposal of the model takes up to a second."""

    exhausts = True

    @pytest.fixture
    def search(self) -> Search:
        pytest.importorskip("torch")
        return OptunaSearch("gp", startup=36)
