from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from automl_core import Trial, TrialState
from automl_core.testing import PluginConformance, TrackerConformance
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.tracker import MLflowTracker

pytestmark = pytest.mark.filterwarnings(
    # MLflow 3.17 with SQLAlchemy 2.1.
    "ignore:The ``noload`` loader strategy is deprecated"
)
STATES = {"FINISHED": TrialState.COMPLETE, "FAILED": TrialState.FAILED, "KILLED": TrialState.PRUNED}


class TestPlugin(PluginConformance):
    plugin = "mlflow"
    unreachable = {"tracking_uri": "http://user:hunter2-never-shown@127.0.0.1:1", "required": True}


class TestTracker(TrackerConformance):
    @pytest.fixture
    def tracker(self, directory: Path) -> MLflowTracker:
        return MLflowTracker(MLflowConfig.model_validate({"offline": True}), directory=directory)

    @pytest.fixture
    def recorded(self, tracker: MLflowTracker) -> Callable[[], Sequence[Trial]]:
        def read() -> Sequence[Trial]:
            assert tracker.flush()[1] == 0
            runs = tracker.connection.client.search_runs(
                [tracker.connection.experiment()], order_by=["attributes.start_time"]
            )
            found = [
                Trial(int(run.data.tags["automl.trial"]), "linear", {}).with_result(
                    STATES[run.info.status], loss=run.data.metrics.get("loss")
                )
                for run in runs
                if "automl.trial" in run.data.tags
            ]
            assert len({trial.id for trial in found}) == len(found)
            return found

        return read
