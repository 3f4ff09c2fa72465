from __future__ import annotations

from pathlib import Path

import pytest

from automl_core import AutoMLError, DataError, Study
from automl_mlflow.tracker import MLflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")


def test_run_by_hand_is_read_back_by_mlflow(tracker: MLflowTracker) -> None:
    run_id = tracker.start_run(run_name="by hand")
    tracker.log_params({"max_depth": 8, "learning_rate": 0.1})
    tracker.log_metrics({"test_score": 0.5}, step=1)
    tracker.log_metrics({"test_score": 0.91, "odd": float("nan")}, step=2)
    tracker.end_run()
    run = tracker.connection.client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("by hand", "FINISHED")
    assert run.data.params == {"max_depth": "8", "learning_rate": "0.1"}
    assert run.data.metrics == {"test_score": 0.91}
    assert run.data.tags["automl.not_finite"] == "odd=nan"


def test_best_run_has_the_greatest_or_least_metric(tracker: MLflowTracker) -> None:
    runs = []
    for score in (0.5, 0.9, 0.7):
        runs.append(tracker.start_run())
        tracker.log_metrics({"score": score})
        tracker.end_run()
    unfinished = MLflowTracker(tracker.config, directory=tracker.connection.folder.parent)
    unfinished.start_run()
    unfinished.log_metrics({"score": 1.0})
    best, worst = tracker.get_best_run("score"), tracker.get_best_run("score", maximize=False)
    assert best is not None
    assert worst is not None
    assert (best.info.run_id, worst.info.run_id) == (runs[1], runs[0])
    assert tracker.get_best_run("nothing") is None


def test_second_run_is_refused_until_the_first_ends(tracker: MLflowTracker) -> None:
    tracker.start_run()
    with pytest.raises(AutoMLError, match="end_run"):
        tracker.start_run()
    tracker.end_run()
    with pytest.raises(AutoMLError, match="start_run"):
        tracker.log_params({"a": 1})


def test_model_of_a_run_has_a_uri(tracker: MLflowTracker, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a model")
    run = tracker.start_run()
    assert tracker.log_model(tmp_path / "model") == f"runs:/{run}/model"
    assert tracker.log_model(tmp_path / "model", registered_model_name="income") == "models:/income/1"
    tracker.end_run()
    assert tracker.resolve("income", "1").read_text() == "a model"
    assert tracker.tags("income", "1").get("study") is None


def test_version_tells_the_study_and_the_data_that_it_is_of(tracker: MLflowTracker, tmp_path: Path) -> None:
    settings = {"data": "fingerprint"}
    tracker.start(Study("a1b2", "binary", "roc_auc", rows=10, columns=2, seed=0, folds=3, settings=settings))
    tracker.finish()
    tracker.flush()
    (tmp_path / "model").write_text("a model")
    tracker.register("income", tmp_path / "model", tags={"study": "a1b2", "parent": "3"})
    assert tracker.tags("income", "1") == {"study": "a1b2", "data": "fingerprint", "parent": "3"}


def test_foreign_model_is_refused(tracker: MLflowTracker) -> None:
    tracker.start_run()
    with pytest.raises(DataError, match="dict is no model"):
        tracker.log_model({})


def test_model_is_fetched_once(tracker: MLflowTracker, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a model")
    tracker.register("income", tmp_path / "model")
    first = tracker.resolve("income", "1").stat()
    assert tracker.resolve("income", "1").stat().st_ino == first.st_ino


def test_model_changed_in_the_store_is_refused(tracker: MLflowTracker, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a model")
    tracker.register("income", tmp_path / "model")
    (stored,) = (tracker.connection.folder / "artifacts").rglob("model.automl")
    stored.write_text("another")
    with pytest.raises(DataError, match="checksum"):
        tracker.resolve("income", "1")


def test_version_that_holds_no_model_of_ours_is_refused(tracker: MLflowTracker, tmp_path: Path) -> None:
    client = tracker.connection.client
    (tmp_path / "foreign").mkdir()
    client.create_registered_model("foreign")
    client.create_model_version("foreign", (tmp_path / "foreign").as_uri())
    with pytest.raises(DataError, match="no model of the engine"):
        tracker.resolve("foreign", "1")


@pytest.mark.parametrize("alias", ["latest", "v1", "a b"])
def test_alias_that_mlflow_does_not_take_is_refused(tracker: MLflowTracker, tmp_path: Path, alias: str) -> None:
    (tmp_path / "model").write_text("a model")
    tracker.register("income", tmp_path / "model")
    with pytest.raises(ValueError, match="cannot be an alias"):
        tracker.alias("income", alias, "1")


def test_rollback_knows_aliases_that_were_moved_by_hand(tracker: MLflowTracker, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("a model")
    for _ in range(2):
        tracker.register("income", tmp_path / "model")
    tracker.alias("income", "champion", "1")
    tracker.connection.client.set_registered_model_alias("income", "champion", "2")
    assert tracker.rollback("income", "champion") == "1"
